"""Any reply of a web tier becomes an answer."""

import contextlib
import json
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.outcomes import LabelScore, Outcome, Prediction
from iraas.errors import BackendError
from iraas.loadgen.http_replies import HttpReply, read_load, read_outcome, read_text, with_jitter
from iraas.loadgen.results import Failure, RequestResult
from iraas.loadgen.sampling import DeploymentLoad

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
BODIES = st.binary() | JSON.map(lambda value: json.dumps(value).encode())
HEADERS = st.fixed_dictionaries(
    {}, optional={"Content-Type": st.text(), "Retry-After": st.text(), "Location": st.text()}
)
REPLIES = st.builds(
    HttpReply,
    st.sampled_from([200, 200, 201, 202, 204, 302, 400, 404, 422, 429, 500, 503]),
    HEADERS,
    BODIES,
)


def outcome(name: str = "a.jpg", label: str = "cat", reason: str = "") -> Outcome:
    return Outcome(
        request_id="01kaq3f8x2m4t6v8z0b2d4f6h8-00000001",
        job_id="01kaq3f8x2m4t6v8z0b2d4f6h8",
        name=name,
        prediction=None if reason else Prediction((LabelScore(label, 0.5),)),
        reason=reason,
        model="m@1",
        worker="w-1",
        attempts=1,
        submitted_at=1.0,
        completed_at=2.0,
    )


def ok(body: bytes) -> HttpReply:
    return HttpReply(200, {}, body)


def problem(status: int, detail: str) -> HttpReply:
    headers = {"Content-Type": "application/problem+json"}
    return HttpReply(status, headers, json.dumps({"detail": detail}).encode())


def test_an_outcome_gives_its_label_and_who_made_it() -> None:
    answer = read_outcome(ok(outcome().encode()), "a.jpg")

    assert answer == RequestResult(
        label="cat", status=200, request_id=outcome().request_id, worker="w-1"
    )


def test_a_failed_outcome_is_a_failure_with_its_reason() -> None:
    answer = read_outcome(ok(outcome(reason="it is truncated").encode()), "a.jpg")

    assert (answer.failure, answer.reason) == (Failure.IMAGE, "it is truncated")


def test_the_outcome_of_another_image_is_anothers_answer() -> None:
    answer = read_outcome(ok(outcome(name="b.jpg").encode()), "a.jpg")

    assert answer.failure is Failure.MISMATCHED
    assert "'b.jpg'" in answer.reason


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a.b.jpg:cat", "cat"),
        ("a.b.jpg:ratio 1:2\n", "ratio 1:2"),
        ("a.b:cat", "cat"),
        ("a.b.jpg: tiger cat ", "tiger cat"),
    ],
)
def test_plain_text_gives_the_label_after_the_name(text: str, label: str) -> None:
    assert read_text(ok(text.encode()), "a.b.jpg") == RequestResult(label=label, status=200)


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("b.jpg:cat", Failure.MISMATCHED),
        ("xa.jpg:cat", Failure.MISMATCHED),
        ("a.jpg:", Failure.MISMATCHED),
        ("<html>", Failure.MALFORMED),
        ("", Failure.MALFORMED),
    ],
)
def test_plain_text_that_does_not_belong_to_the_image_is_a_failure(
    text: str, failure: Failure
) -> None:
    assert read_text(ok(text.encode()), "a.jpg").failure is failure


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (429, Failure.BUSY),
        (500, Failure.SERVER),
        (503, Failure.SERVER),
        (401, Failure.REFUSED),
        (422, Failure.REFUSED),
        (307, Failure.REFUSED),
        (204, Failure.MALFORMED),
    ],
)
def test_every_other_status_is_a_failure_of_its_kind(status: int, failure: Failure) -> None:
    for read in (read_outcome, read_text):
        answer = read(problem(status, "the reason"), "a.jpg")
        assert (answer.failure, answer.status) == (failure, status)


def test_a_refusal_says_what_the_server_said() -> None:
    assert read_text(problem(422, "no image"), "a").reason == "422: no image"
    assert read_text(HttpReply(500, {}, b"Internal"), "a").reason == "500: Internal"
    away = HttpReply(307, {"Location": "https://elsewhere/"}, b"")
    assert read_text(away, "a").reason == "307: it redirects to https://elsewhere/"


def test_retry_after_is_a_number_a_date_or_a_second() -> None:
    def retry_s(text: str) -> float:
        return HttpReply(429, {"Retry-After": text}, b"").retry_after_s

    assert retry_s("7") == 7
    assert retry_s("0") == 1
    assert retry_s("soon") == 1
    assert retry_s("") == 1
    day_s = 86_400
    assert 0 < retry_s(formatdate(time.time() + day_s, usegmt=True)) <= day_s
    assert retry_s(formatdate(time.time() - day_s, usegmt=True)) == 0


def test_a_spread_wait_is_never_shorter_than_asked() -> None:
    waits = {with_jitter(4.0) for _ in range(100)}

    assert min(waits) >= 4.0
    assert max(waits) <= 5.0
    assert len(waits) > 1


def test_a_status_gives_queue_and_workers() -> None:
    value = {
        "queue": {"visible": 3, "in_flight": 2, "delayed": 1},
        "workers": [{"state": "running"}, {"state": "booting"}],
    }

    assert read_load(ok(json.dumps(value).encode())) == DeploymentLoad(4, 2, 2, 1)


def test_a_missing_status_is_reported_with_its_reason() -> None:
    with pytest.raises(BackendError, match="404: nothing here"):
        read_load(problem(404, "nothing here"))
    with pytest.raises(BackendError, match="no readable status"):
        read_load(ok(b"[]"))


@given(REPLIES, st.text())
def test_any_reply_becomes_an_answer_and_success_has_a_label(reply: HttpReply, name: str) -> None:
    for read in (read_outcome, read_text):
        answer = read(reply, name)
        assert (answer.failure is None) == bool(answer.label)
        assert len(answer.reason) <= 500
    with contextlib.suppress(BackendError):
        read_load(reply)
    assert reply.retry_after_s >= 0
