"""Store keys: made of ids, and never a way out of the store."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core import keys
from iraas.core.ids import request_id
from tests.unit.core.strategies import any_texts, indexes, job_ids, request_ids
from tests.unit.core.strategies import keys as good_keys

hostile_texts = st.lists(
    st.sampled_from(["/", "..", ".", "a", "~", "\\", "\x00", "\n", " ", "%2e", "-", "é", "C:"]),
    max_size=8,
).map("".join)


@given(any_texts | hostile_texts | good_keys)
def test_a_checked_key_never_leads_out_of_its_store(key: str) -> None:
    try:
        checked = keys.check_key(key)
    except ValueError:
        return
    path = PurePosixPath(checked)
    assert checked == key
    assert str(path) == key
    assert not path.is_absolute()
    assert all(part[0].isalnum() and part.isascii() and part.isprintable() for part in path.parts)


@given(good_keys)
def test_ordinary_keys_pass(key: str) -> None:
    assert keys.check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "a/", "/a", "a//b", "..", "../a", "a/..", "a/../b", ".", "./a", "a/./b", ".hidden",
        "a/.hidden", "-rf", "a b", "a\n", "a\x00", "é", "a\\b", "a:b", "~/a", "a" * 513,
    ],
)  # fmt: skip
def test_a_key_unsafe_for_a_path_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not a store key"):
        keys.check_key(key)


@given(request_ids, st.sampled_from(["jpg", "png", "bin"]))
def test_the_keys_of_a_request_are_store_keys(request: str, extension: str) -> None:
    for key in (
        keys.input_key(request, extension),
        keys.outcome_key(request),
        keys.attempt_key(request, 1),
    ):
        assert keys.check_key(key) == key


@given(job_ids, indexes, indexes)
def test_no_two_requests_share_a_key(job_id: str, one: int, other: int) -> None:
    first, second = request_id(job_id, one), request_id(job_id, other)
    assert (keys.outcome_key(first) == keys.outcome_key(second)) == (one == other)
    assert (keys.input_key(first, "jpg") == keys.input_key(second, "jpg")) == (one == other)
    assert (keys.attempt_key(first, 1) == keys.attempt_key(second, 1)) == (one == other)


@given(job_ids, indexes)
def test_an_outcome_key_is_under_its_job_and_contains_its_index(job_id: str, index: int) -> None:
    key = keys.outcome_key(request_id(job_id, index))
    assert key.startswith(keys.outcomes_of(job_id))
    assert keys.index_of_outcome(key) == index


@given(job_ids, st.lists(indexes, min_size=2))
def test_outcomes_sort_by_index(job_id: str, indexes: list[int]) -> None:
    found = sorted(keys.outcome_key(request_id(job_id, index)) for index in indexes)
    assert [keys.index_of_outcome(key) for key in found] == sorted(indexes)


@pytest.mark.parametrize(
    "key", ["", "a", "x/1.json", "x/00000001.jpg", "x/0000000१.json", "00000001.json.tmp"]
)
def test_any_other_key_has_no_index(key: str) -> None:
    assert keys.index_of_outcome(key) is None


def test_a_shard_holds_a_thousand() -> None:
    job_id = "01kb3v9x4q0000000000000000"
    assert keys.outcome_key(request_id(job_id, 999)).split("/")[1] == "00000"
    assert keys.outcome_key(request_id(job_id, 1000)).split("/")[1] == "00001"


@given(job_ids, st.integers(0, 10**5))
def test_a_manifest_page_lies_under_its_jobs_prefix(job_id: str, page: int) -> None:
    key = keys.manifest_key(job_id, page)
    assert keys.check_key(key).startswith(keys.manifest_prefix(job_id))
    assert keys.check_key(keys.job_key(job_id)).startswith(keys.JOBS)


@given(request_ids, st.integers(1, keys.MAX_ATTEMPTS))
def test_attempts_lie_under_their_job(request: str, number: int) -> None:
    assert keys.attempt_key(request, number).startswith(keys.attempts_of(request[:26]))


@pytest.mark.parametrize("worker_id", ["", "../up", "a/../../b", "\x00", "a b"])
def test_a_hostile_worker_id_gets_no_key(worker_id: str) -> None:
    with pytest.raises(ValueError, match="is not a store key"):
        keys.worker_key(worker_id)
