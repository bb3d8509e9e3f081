"""`S3Store` against an emulator: behaviour specific to S3. The port has its own suite."""

import time
from typing import Any

import pytest

from iraas.backends.aws.session import AwsSession
from iraas.backends.aws.storage import s3_store
from iraas.backends.aws.storage.s3_store import S3Store
from iraas.errors import (
    BackendUnavailableError,
    NotProvisionedError,
    ObjectNotFoundError,
    PermissionDeniedError,
)
from tests.functional.aws.deployments import HASTY, QUICK, Deployment, fresh_session
from tests.functional.aws.faults import (
    Call,
    FaultProxy,
    Reply,
    answer,
    cut_short,
    fail_keys,
    garbage,
    lose_reply,
    refuse,
)


def puts_of(session: AwsSession) -> list[Any]:
    """The PutObject requests that the S3 client sends from now on."""
    sent: list[Any] = []
    session.s3.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: sent.append(request)
    )
    return sent


def keys_in(store: S3Store, prefix: str = "", after: str = "") -> list[str]:
    return [one.key for one in store.list(prefix, after=after)]


def test_an_object_comes_back_and_lies_under_the_prefix(deployment: Deployment) -> None:
    data = bytes(range(256)) * 10
    deployment.outputs.put("job/1.json", data)
    assert deployment.outputs.get("job/1.json") == data
    listed = deployment.session.s3.list_objects_v2(Bucket=deployment.outputs_bucket())
    assert [one["Key"] for one in listed["Contents"]] == ["outcomes/job/1.json"]


def test_an_upload_is_plain_carries_its_checksum_and_asks_nothing_first(
    deployment: Deployment,
) -> None:
    sent = puts_of(deployment.session)
    deployment.outputs.put("a", b"hello")
    deployment.outputs.put_if_absent([("b", b"")])
    first, second = (
        {k.lower(): v.decode() if isinstance(v, bytes) else v for k, v in one.headers.items()}
        for one in sent
    )
    assert first["x-amz-checksum-crc32"] == "NhCmhg=="
    assert first["content-length"] == "5"
    assert "if-none-match" not in first
    assert second["if-none-match"] == "*"
    for headers in (first, second):
        assert not {"expect", "content-encoding", "transfer-encoding"} & headers.keys()


def test_an_existing_object_is_not_replaced(deployment: Deployment) -> None:
    store = deployment.outputs
    assert store.put_if_absent([("a", b"1"), ("b", b"2")]) == [True, True]
    assert store.put_if_absent([("a", b"3"), ("c", b"4")]) == [False, True]
    assert [store.get(key) for key in "abc"] == [b"1", b"2", b"4"]


def test_of_many_uploads_of_one_key_in_one_call_one_succeeds(deployment: Deployment) -> None:
    with_one_key = [("a", b"%d" % number) for number in range(8)]
    stored = [deployment.outputs.put_if_absent([one])[0] for one in with_one_key]
    assert stored == [True] + [False] * 7


def test_a_listing_is_paged_and_starts_after_the_given_key(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "KEYS_PER_PAGE", 3)
    store = deployment.outputs
    keys = [f"job/{number:02d}" for number in range(10)]
    store.put_if_absent([(key, b"x") for key in keys])
    store.put("jobs/other", b"")
    deployment.records.put("job/in-another-store", b"")
    assert keys_in(store, "job/") == keys
    assert keys_in(store, "job/", after="job/04") == keys[5:]
    assert keys_in(store, "job/", after="job/09") == []
    assert keys_in(store) == [*keys, "jobs/other"]
    (first, *_) = store.list("job/")
    assert first.size_bytes == 1
    assert abs(first.modified_at - time.time()) < 3600


def test_a_listing_reads_a_page_only_when_it_is_asked_for(
    shaky: Deployment, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "KEYS_PER_PAGE", 2)
    shaky.outputs.put_if_absent([(f"{number}", b"") for number in range(5)])
    listing = shaky.outputs.list()
    assert proxy.seen.count("GET bucket") == 0
    next(listing)
    next(listing)
    assert proxy.seen.count("GET bucket") == 1
    next(listing)
    assert proxy.seen.count("GET bucket") == 2


def test_deletes_are_batched_and_idempotent(
    shaky: Deployment, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "KEYS_PER_DELETE", 2)
    store = shaky.outputs
    store.put_if_absent([(key, b"") for key in "abcde"])
    store.delete([*"abcd", "nothing", "a"])
    assert keys_in(store) == ["e"]
    assert proxy.seen.count("DeleteObjects") == 3


def test_a_missing_object_is_named(deployment: Deployment) -> None:
    with pytest.raises(ObjectNotFoundError, match="outcomes/nothing"):
        deployment.outputs.get("nothing")


@pytest.mark.parametrize("key", ["", "/a", "a/", "../a", "a//b", "a b", "a\n", "é"])
def test_a_hostile_key_reaches_no_call(deployment: Deployment, key: str) -> None:
    store = deployment.outputs
    for act in (
        lambda: store.get(key),
        lambda: store.put(key, b""),
        lambda: store.put_if_absent([("good", b""), (key, b"")]),
        lambda: store.delete(["good", key]),
        lambda: store.list(key + "?"),
    ):
        with pytest.raises(ValueError, match=r"key|prefix"):
            act()
    assert keys_in(store) == []


def test_a_missing_bucket_says_how_to_provision(session: AwsSession) -> None:
    store = S3Store(session, lambda: "iraas-nobody-outputs")
    for act in (
        lambda: store.get("a"),
        lambda: store.put("a", b""),
        lambda: store.put_if_absent([("a", b""), ("b", b"")]),
        lambda: store.delete(["a"]),
        lambda: list(store.list()),
    ):
        with pytest.raises(NotProvisionedError, match="iraas-nobody-outputs") as caught:
            act()
        assert "iraas provision --backend aws" in caught.value.remedy


@pytest.mark.parametrize(
    "fault",
    [
        refuse,
        lose_reply,
        answer(503, "SlowDown"),
        answer(500, "InternalError"),
        answer(500, "InternalError", took_effect=True),
        answer(409, "ConditionalRequestConflict"),
    ],
)
def test_the_single_writer_gets_true_even_if_a_reply_is_lost(
    shaky: Deployment, proxy: FaultProxy, fault: Any
) -> None:
    proxy.plan("PutObject", fault)
    assert shaky.outputs.put_if_absent([("a", b"mine")]) == [True]
    assert shaky.outputs.put_if_absent([("a", b"mine")]) == [False]
    assert shaky.outputs.get("a") == b"mine"


@pytest.mark.parametrize("fault", [refuse, answer(503, "SlowDown"), answer(409, "409")])
def test_a_second_writer_gets_false_even_after_a_retry(
    shaky: Deployment, proxy: FaultProxy, fault: Any
) -> None:
    shaky.outputs.put("a", b"theirs")
    proxy.plan("PutObject", fault)
    assert shaky.outputs.put_if_absent([("a", b"mine")]) == [False]
    assert shaky.outputs.get("a") == b"theirs"


def test_endless_conflicts_are_given_up(shaky: Deployment, proxy: FaultProxy) -> None:
    proxy.plan("PutObject", *[answer(409, "ConditionalRequestConflict")] * 50)
    with pytest.raises(BackendUnavailableError, match="ConditionalRequestConflict"):
        shaky.outputs.put_if_absent([("a", b"")])
    assert proxy.seen.count("PutObject") == QUICK.attempts


@pytest.mark.parametrize("fault", [refuse, cut_short, lose_reply, answer(503, "SlowDown")])
def test_a_download_survives_a_fault(shaky: Deployment, proxy: FaultProxy, fault: Any) -> None:
    data = bytes(100_000)
    shaky.outputs.put("a", data)
    proxy.plan("GetObject", fault, fault)
    assert shaky.outputs.get("a") == data


@pytest.mark.parametrize("fault", [refuse, lose_reply, answer(500, "InternalError")])
def test_an_upload_survives_a_fault(shaky: Deployment, proxy: FaultProxy, fault: Any) -> None:
    proxy.plan("PutObject", fault)
    shaky.outputs.put("a", b"data")
    assert shaky.outputs.get("a") == b"data"


@pytest.mark.parametrize("fault", [refuse, lose_reply, garbage, fail_keys(2), fail_keys(3)])
def test_a_delete_survives_a_fault(shaky: Deployment, proxy: FaultProxy, fault: Any) -> None:
    shaky.outputs.put_if_absent([(key, b"") for key in "abc"])
    proxy.plan("DeleteObjects", fault)
    shaky.outputs.delete(["a", "b", "c"])
    assert keys_in(shaky.outputs) == []


def test_a_key_that_may_not_be_deleted_is_named(shaky: Deployment, proxy: FaultProxy) -> None:
    shaky.outputs.put("a", b"")
    proxy.plan("DeleteObjects", fail_keys(1, code="AccessDenied"))
    with pytest.raises(PermissionDeniedError, match=r"s3:DeleteObject on s3://.*outcomes/a"):
        shaky.outputs.delete(["a"])


def test_a_store_that_hangs_is_given_up_after_a_bound(shaky: Deployment, proxy: FaultProxy) -> None:
    shaky.outputs.put("a", b"")
    proxy.plan("GetObject", *[proxy.hang] * 50)
    with fresh_session(proxy.url, HASTY) as session, pytest.raises(BackendUnavailableError):
        shaky.seen_through(session).outputs.get("a")
    assert proxy.seen.count("GetObject") == HASTY.attempts


def test_the_first_error_of_a_batch_is_raised_after_all_have_ended(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    proxy.plan("PutObject", answer(403, "AccessDenied"))
    with pytest.raises(PermissionDeniedError, match="s3:PutObject"):
        shaky.outputs.put_if_absent([(f"{number}", b"") for number in range(6)])
    assert len(keys_in(shaky.outputs)) == 5


def test_every_call_names_the_account_whose_bucket_is_meant(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    owners: list[tuple[str, str | None]] = []

    def note(call: Call) -> Reply:
        headers = {name.lower(): value for name, value in call.headers.items()}
        owners.append((call.operation, headers.get("x-amz-expected-bucket-owner")))
        return call.forward(call.body)

    store = shaky.outputs
    store.put("a/b", b"x")  # the account is known from here on
    proxy.plan_all(lambda _: note)
    store.put("a/b", b"x")
    assert store.put_if_absent([("a/b", b"y"), ("a/c", b"z")]) == [False, True]
    assert store.get("a/b") == b"x"
    assert len(list(store.list())) == 2
    store.delete(["a/b"])
    assert {owner for _, owner in owners} == {shaky.session.account()}
    assert {name for name, _ in owners} == {
        "PutObject",
        "GetObject",
        "GET bucket",
        "DeleteObjects",
    }
