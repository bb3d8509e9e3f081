"""Input, outcome, reply, delete: in that order, whatever dies or is delivered twice."""

import pytest

from iraas.backends.memory import MemoryQueue
from iraas.core.fault_injection import POINTS
from iraas.core.keys import input_key, outcome_key
from iraas.core.messages import Request, decode_reply, decode_request
from iraas.core.outcomes import Outcome
from iraas.core.ports import QueueDepth
from iraas.errors import BackendUnavailableError, ObjectNotFoundError
from iraas.jobs.outcome_writer import MAX_DEPARTED_REQUESTERS, CompletedRequest, OutcomeWriter
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import (
    LEASE_S,
    REQUESTER,
    count_outcomes,
    outcome,
    receive,
    request,
    send,
    stored,
)
from tests.fakes.scripted_classifier import image_bytes

STEPS = POINTS[1:]


class DiedError(Exception):
    """The process is killed at this point."""


def take(backend: FlakyBackend, *, worker: str = "w-1", label: str = "cat") -> CompletedRequest:
    """Receive a request and classify it."""
    (message,) = receive(backend)
    asked = decode_request(message.body)
    return CompletedRequest(asked, outcome(asked, label, worker=worker), message.receipt)


def replies(backend: FlakyBackend, requester: str = REQUESTER) -> list[Outcome]:
    queue = backend.responses.create(requester)
    messages = queue.receive(10, lease_s=LEASE_S)
    queue.delete([one.receipt for one in messages])
    return [decode_reply(one.body) for one in messages]


def test_a_finished_request_has_its_input_its_outcome_and_its_reply_and_is_off_the_queue(
    backend: FlakyBackend,
) -> None:
    backend.responses.create(REQUESTER)
    send(backend, [request(0)])
    one = take(backend)

    assert OutcomeWriter(backend).finish([one]) == [one.outcome]

    assert backend.inputs.get(input_key(one.request.request_id, "jpg")) == image_bytes("label-0")
    assert stored(backend, 0) == one.outcome
    assert replies(backend) == [one.outcome]
    assert backend.requests.depth() == QueueDepth(0, 0, 0)


def test_the_order_is_input_outcome_reply_delete(backend: FlakyBackend) -> None:
    backend.responses.create(REQUESTER)
    send(backend, [request(0)])
    one = take(backend)
    seen = []

    def check(point: str, name: str) -> None:
        seen.append(
            (
                point,
                any(backend.inputs.list()),
                any(backend.outputs.list()),
                backend.responses.find(REQUESTER).depth().total > 0,
                backend.requests.depth().total == 0,
            )
        )

    OutcomeWriter(backend, check).finish([one])
    assert seen == [
        ("input-stored", True, False, False, False),
        ("outcome-stored", True, True, False, False),
        ("replied", True, True, True, False),
        ("deleted", True, True, True, True),
    ]


@pytest.mark.parametrize("step", STEPS)
def test_after_a_death_at_any_step_the_next_worker_leaves_exactly_one_outcome(
    step: str, backend: FlakyBackend, clock: Clock
) -> None:
    backend.responses.create(REQUESTER)
    send(backend, [request(0)])

    def die(point: str, _name: str) -> None:
        if point == step:
            raise DiedError

    with pytest.raises(DiedError):
        OutcomeWriter(backend, die).finish([take(backend, worker="first", label="cat")])
    clock.advance(LEASE_S + 1)
    if backend.requests.depth().total:
        OutcomeWriter(backend).finish([take(backend, worker="second", label="dog")])

    assert count_outcomes(backend) == 1
    assert backend.requests.depth().total == 0
    first_stored_it = step != "input-stored"
    assert stored(backend, 0).worker == ("first" if first_stored_it else "second")
    sent = replies(backend)
    assert sent
    assert set(sent) == {stored(backend, 0)}


def test_a_second_delivery_is_answered_with_the_first_outcome(
    backend: FlakyBackend, clock: Clock
) -> None:
    backend.responses.create(REQUESTER)
    send(backend, [request(0), request(0)])
    first, second = take(backend, worker="first"), take(backend, worker="second", label="dog")

    assert OutcomeWriter(backend).finish([first]) == [first.outcome]
    assert OutcomeWriter(backend).finish([second]) == [first.outcome]

    assert replies(backend) == [first.outcome, first.outcome]
    assert stored(backend, 0) == first.outcome


def test_a_stale_receipt_deletes_nothing_and_does_no_harm(
    backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0)])
    paused = take(backend, worker="paused")
    clock.advance(LEASE_S + 1)
    other = take(backend, worker="other", label="dog")

    assert OutcomeWriter(backend).finish([paused]) == [paused.outcome]
    assert backend.requests.depth().in_flight == 1
    assert OutcomeWriter(backend).finish([other]) == [paused.outcome]
    assert backend.requests.depth().total == 0
    assert count_outcomes(backend) == 1


def test_a_batch_keeps_its_order_where_another_was_first(backend: FlakyBackend) -> None:
    send(backend, [request(0), request(1), request(2)])
    batch = [take(backend) for _ in range(3)]
    earlier = outcome(request(1), "dog", worker="earlier")
    backend.outputs.put(outcome_key(earlier.request_id), earlier.encode())

    stored_ones = OutcomeWriter(backend).finish(batch)

    assert stored_ones == [batch[0].outcome, earlier, batch[2].outcome]
    assert backend.requests.depth().total == 0


def test_a_missing_requester_is_no_error_and_is_not_looked_up_again(
    backend: FlakyBackend,
) -> None:
    send(backend, [request(0), request(1)])
    writer = OutcomeWriter(backend)
    writer.finish([take(backend)])
    assert count_outcomes(backend) == 1

    backend.responses.create(REQUESTER)
    writer.finish([take(backend)])
    assert count_outcomes(backend) == 2
    assert replies(backend) == []


def test_memory_of_requesters_that_left_is_bounded(backend: FlakyBackend) -> None:
    writer = OutcomeWriter(backend)
    for index in range(MAX_DEPARTED_REQUESTERS + 50):
        asked = request(0, reply_to=f"gone-{index}")
        writer.settle(asked, outcome(asked))
    assert len(writer._departed) == MAX_DEPARTED_REQUESTERS


def test_a_request_without_requester_gets_no_reply(backend: FlakyBackend) -> None:
    send(backend, [request(0, reply_to="")])
    OutcomeWriter(backend).finish([take(backend)])
    assert backend.responses.requesters() == []
    assert count_outcomes(backend) == 1


def test_each_requester_gets_its_own_outcomes_only(backend: FlakyBackend) -> None:
    for requester in ("submit-1", "submit-2"):
        backend.responses.create(requester)
    send(backend, [request(0, reply_to="submit-1"), request(1, reply_to="submit-2")])
    batch = [take(backend), take(backend)]
    OutcomeWriter(backend).finish(batch)
    assert replies(backend, "submit-1") == [batch[0].outcome]
    assert replies(backend, "submit-2") == [batch[1].outcome]


def test_while_the_store_fails_nothing_is_deleted_and_a_second_try_finishes(
    backend: FlakyBackend,
) -> None:
    backend.responses.create(REQUESTER)
    send(backend, [request(0)])
    one = take(backend)
    writer = OutcomeWriter(backend)
    backend.outputs.failures = 1

    with pytest.raises(BackendUnavailableError):
        writer.finish([one])
    assert backend.requests.depth().in_flight == 1
    assert replies(backend) == []

    assert writer.finish([one]) == [one.outcome]
    assert backend.requests.depth().total == 0
    assert replies(backend) == [one.outcome]


def test_a_reply_that_cannot_be_sent_loses_nothing(
    backend: FlakyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BrokenQueue(MemoryQueue):
        def send(self, messages: object) -> None:
            raise BackendUnavailableError("no replies today")

    monkeypatch.setattr(backend.responses, "find", lambda _: BrokenQueue())
    send(backend, [request(0)])
    OutcomeWriter(backend).finish([take(backend)])
    assert count_outcomes(backend) == 1
    assert backend.requests.depth().total == 0


def test_a_corrupt_stored_outcome_is_replaced_by_the_new_one_in_the_reply(
    backend: FlakyBackend,
) -> None:
    backend.responses.create(REQUESTER)
    backend.outputs.put(outcome_key(request(0).request_id), b"{")
    send(backend, [request(0)])
    one = take(backend)
    assert OutcomeWriter(backend).finish([one]) == [one.outcome]
    assert backend.requests.depth().total == 0
    assert replies(backend) == [one.outcome]


def test_a_request_given_up_is_a_dead_letter_with_its_reason(backend: FlakyBackend) -> None:
    send(backend, [request(0)])
    (message,) = receive(backend)
    asked = decode_request(message.body)
    failure = outcome(asked, None, reason="gave up")
    reason = "it ended its process " * 100
    OutcomeWriter(backend).finish([CompletedRequest(asked, failure, message.receipt, reason)])

    (letter,) = backend.dead_letters.receive(1, lease_s=LEASE_S)
    assert decode_request(letter.body) == asked
    assert letter.note == reason[:1024]
    assert stored(backend, 0).reason == "gave up"
    assert backend.requests.depth().total == 0


def test_an_image_that_came_by_key_is_not_stored_again(backend: FlakyBackend) -> None:
    asked = Request(request(0).request_id, "large.jpg", 1.0, input_key="elsewhere/large.jpg")
    send(backend, [asked])
    OutcomeWriter(backend).finish([take(backend)])
    with pytest.raises(ObjectNotFoundError):
        backend.inputs.get(input_key(asked.request_id, "jpg"))
    assert count_outcomes(backend) == 1


def test_an_image_of_no_known_format_is_stored_as_bytes(backend: FlakyBackend) -> None:
    send(backend, [request(0, b"hello")])
    OutcomeWriter(backend).finish([take(backend)])
    assert backend.inputs.get(input_key(request(0).request_id, "bin")) == b"hello"


def test_settling_needs_no_message_and_is_idempotent(backend: FlakyBackend) -> None:
    backend.responses.create(REQUESTER)
    asked = request(0)
    first = outcome(asked, None, reason="it was lost")
    writer = OutcomeWriter(backend)
    assert writer.settle(asked, first) == first
    assert writer.settle(asked, outcome(asked, "cat")) == first
    assert replies(backend) == [first, first]


def test_the_stored_outcome_of_a_request_without_one_is_none(backend: FlakyBackend) -> None:
    assert OutcomeWriter(backend).stored_outcome(request(0)) is None
