"""Dead letters without an outcome get one."""

import pytest

from iraas.client.outcome_follower import OutcomeFollower
from iraas.controller.dead_letters import LEASE_S, REASON, DeadLetterProcessor
from iraas.core.jobs import Job
from iraas.core.messages import decode_request, encode_request
from iraas.core.outcomes import Outcome
from iraas.core.ports import OutboundMessage, ReceivedMessage
from iraas.errors import BackendUnavailableError
from iraas.jobs.outcome_writer import OutcomeWriter
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import (
    REQUESTER,
    count_outcomes,
    outcome,
    receive,
    request,
    send,
    stored,
)


def wear_out(backend: FlakyBackend, times: int = 20) -> None:
    """Let the queue move the one request it holds to its dead letters."""
    for _ in range(times):
        (message,) = receive(backend)
        backend.requests.release([message.receipt])
    assert backend.requests.receive(1, lease_s=1.0) == []


def letters(backend: FlakyBackend, clock: Clock) -> list[ReceivedMessage]:
    clock.advance(LEASE_S + 1)
    return backend.dead_letters.receive(10, lease_s=1.0)


def test_a_request_that_the_queue_gave_up_fails_and_its_requester_gets_a_reply(
    backend: FlakyBackend, clock: Clock
) -> None:
    queue = backend.responses.create(REQUESTER)
    send(backend, [request(0)])
    wear_out(backend)

    assert DeadLetterProcessor(backend, clock).run() == 1

    found = stored(backend, 0)
    assert (found.status, found.reason, found.worker) == ("failed", REASON, "controller")
    assert found.completed_at == clock.now
    assert queue.depth().total == 1
    (letter,) = letters(backend, clock)
    assert decode_request(letter.body) == request(0)
    assert letter.note == REASON


def test_a_request_that_has_its_outcome_keeps_it(backend: FlakyBackend, clock: Clock) -> None:
    earlier: Outcome = outcome(request(0), "cat")
    OutcomeWriter(backend).settle(request(0), earlier)
    send(backend, [request(0)])
    wear_out(backend)
    DeadLetterProcessor(backend, clock).run()
    assert stored(backend, 0) == earlier


def test_a_dead_letter_of_a_worker_is_left_unchanged(backend: FlakyBackend, clock: Clock) -> None:
    backend.dead_letters.send([OutboundMessage(encode_request(request(0)), note="gave up")])
    assert DeadLetterProcessor(backend, clock).run() == 0
    assert count_outcomes(backend) == 0
    assert [one.note for one in letters(backend, clock)] == ["gave up"]


def test_a_corrupt_dead_letter_is_kept_with_its_error(backend: FlakyBackend, clock: Clock) -> None:
    backend.dead_letters.send([OutboundMessage("{")])
    assert DeadLetterProcessor(backend, clock).run() == 0
    (letter,) = letters(backend, clock)
    assert letter.body == "{"
    assert "not JSON" in letter.note


def test_many_letters_are_concluded_in_one_run(backend: FlakyBackend, clock: Clock) -> None:
    backend.dead_letters.send(
        [OutboundMessage(encode_request(request(index))) for index in range(25)]
    )
    assert DeadLetterProcessor(backend, clock).run() == 25
    assert count_outcomes(backend) == 25
    assert backend.dead_letters.depth().total == 25


def test_a_second_run_does_nothing(backend: FlakyBackend, clock: Clock) -> None:
    backend.dead_letters.send([OutboundMessage(encode_request(request(0)))])
    sweep = DeadLetterProcessor(backend, clock)
    assert sweep.run() == 1
    clock.advance(LEASE_S + 1)
    assert sweep.run() == 0
    assert DeadLetterProcessor(backend, clock).run() == 0


def test_the_next_letter_is_noticed(backend: FlakyBackend, clock: Clock) -> None:
    sweep = DeadLetterProcessor(backend, clock)
    for index in range(3):
        backend.dead_letters.send([OutboundMessage(encode_request(request(index)))])
        clock.advance(LEASE_S + 1)
        assert sweep.run() == 1


def test_a_sweep_that_dies_in_between_loses_nothing(backend: FlakyBackend, clock: Clock) -> None:
    backend.dead_letters.send([OutboundMessage(encode_request(request(0)))])
    backend.dead_letters.receive(1, lease_s=LEASE_S)
    assert DeadLetterProcessor(backend, clock).run() == 0
    clock.advance(LEASE_S + 1)
    assert DeadLetterProcessor(backend, clock).run() == 1


def test_the_outcome_reaches_followers_of_the_job(backend: FlakyBackend, clock: Clock) -> None:
    queue = backend.responses.create(REQUESTER)
    send(backend, [request(0)])
    wear_out(backend)
    DeadLetterProcessor(backend, clock).run()
    follower = OutcomeFollower(backend, Job(request(0).job_id, 1.0, 1, sealed=True))
    assert [one.reason for one in follower.receive_replies(queue, 0.0)] == [REASON]


def test_a_failed_sweep_is_repeated(backend: FlakyBackend, clock: Clock) -> None:
    backend.dead_letters.send([OutboundMessage(encode_request(request(0)))])
    sweep = DeadLetterProcessor(backend, clock)
    backend.outputs.failures = 1
    with pytest.raises(BackendUnavailableError):
        sweep.run()
    assert sweep.run() == 0
    clock.advance(LEASE_S + 1)
    assert sweep.run() == 1
    assert stored(backend, 0).reason == REASON
