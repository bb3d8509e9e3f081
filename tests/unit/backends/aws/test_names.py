"""`Names`: valid on AWS, and never those of another deployment."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from iraas.backends.aws.names import MAX_DEPLOYMENT_CHARACTERS, Names
from iraas.errors import UsageError

PLAIN = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", fullmatch=True)
ACCOUNT, LONGEST_REGION = "123456789012", "ap-southeast-99"


def usable(name: str) -> bool:
    try:
        Names(name)
    except UsageError:
        return False
    return True


DEPLOYMENTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True).filter(usable)


@given(DEPLOYMENTS, PLAIN)
def test_names_are_valid_on_aws(deployment: str, requester: str) -> None:
    names = Names(deployment)
    for queue in (names.requests, names.dead_letters, names.reply(requester)):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", queue)
    for bucket in (names.inputs_bucket, names.outputs_bucket):
        name = bucket(ACCOUNT, LONGEST_REGION)
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name)
    for role in (names.worker_role(LONGEST_REGION), names.web_role(LONGEST_REGION)):
        assert len(role) <= 64


@given(DEPLOYMENTS, DEPLOYMENTS, PLAIN)
def test_a_queue_belongs_to_one_deployment(one: str, other: str, requester: str) -> None:
    assume(one != other)
    mine, theirs = Names(one), Names(other)
    for queue in (mine.requests, mine.dead_letters, mine.reply(requester)):
        assert mine.owns_queue(queue)
        assert not theirs.owns_queue(queue)


@given(DEPLOYMENTS, st.text("abr-", min_size=1, max_size=8), PLAIN)
def test_a_deployment_whose_name_begins_like_another_shares_no_queue(
    one: str, more: str, requester: str
) -> None:
    other = f"{one}{more}"
    assume(usable(other))
    assert not Names(one).owns_queue(Names(other).reply(requester))
    assert not Names(one).owns_queue(Names(other).requests)
    assert not Names(other).owns_queue(Names(one).reply(requester))


@given(DEPLOYMENTS, PLAIN, PLAIN)
def test_two_requesters_have_two_queues(deployment: str, one: str, other: str) -> None:
    assume(one != other)
    assert Names(deployment).reply(one) != Names(deployment).reply(other)


@pytest.mark.parametrize(
    "name",
    ["", "A", "a_b", "-a", "a-", "a" * (MAX_DEPLOYMENT_CHARACTERS + 1), "a-reply", "a-reply-b"],
)
def test_a_name_that_cannot_be_used_is_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be used on AWS") as caught:
        Names(name)
    assert "--deployment" in caught.value.remedy


@pytest.mark.parametrize("name", ["reply", "replying", "a-replying", "iraas"])
def test_a_name_that_only_looks_like_a_reply_is_fine(name: str) -> None:
    assert Names(name).requests == f"iraas-{name}-requests"


def test_tags_name_the_deployment_and_the_role() -> None:
    assert Names("x").tags("worker") == {"iraas:deployment": "x", "iraas:role": "worker"}
