"""The intake: what becomes of each message that is received."""

import threading

import pytest

from iraas.core.keys import attempt_key, attempts_of, outcome_key
from iraas.core.messages import Request
from iraas.core.outcomes import Outcome
from iraas.core.ports import OutboundMessage
from iraas.jobs.outcome_writer import CompletedRequest
from iraas.worker.leases import LeaseKeeper
from iraas.worker.prefetch import Hand
from iraas.worker.receiver import MessageReceiver, Task, WorkerLimits
from tests.fakes.scripted import (
    JOB,
    LEASE_S,
    Clock,
    FlakyBackend,
    outcome,
    picture,
    receive,
    request,
    send,
)
from tests.waiting import PATIENCE_S

LIMITS = WorkerLimits(wait_s=0.0, lease_s=LEASE_S)


class Desk:
    """An intake at work, with a classifier behind it that is done at once.

    Attributes:
        tasks: What was handed on to be classified.
        beside: How many messages were in hand when each task came, itself included.
        notes: The attempts on record when each task came.
        finished: What needed no classification.
        polls: The numbers of empty receives that it told of.
    """

    def __init__(self, backend: FlakyBackend, limits: WorkerLimits = LIMITS) -> None:
        self.backend = backend
        self.tasks: list[Task] = []
        self.beside: list[int] = []
        self.notes: list[list[str]] = []
        self.finished: list[CompletedRequest] = []
        self.polls: list[int] = []
        self.hand = Hand(limits.hold, limits.hold_bytes)
        self.leases = LeaseKeeper(backend.requests, limits.lease_s)
        self.stop = threading.Event()
        self.empty_polls_before_stop = 1
        self.intake = MessageReceiver(
            backend,
            limits,
            self.hand,
            self.leases,
            ready=self._classify,
            finished=self._finish,
            conclude=lambda asked, reason, attempts: outcome(asked, None, reason=reason),
            idle=self._idle,
        )

    def run(self) -> "Desk":
        """Take in until a receive brings nothing."""
        self.intake.run(self.stop)
        return self

    def _classify(self, task: Task) -> None:
        self.tasks.append(task)
        self.beside.append(len(self.hand._sizes))
        self.notes.append([one.key for one in self.backend.records.list(attempts_of(JOB))])
        self._done(task.receipt)

    def _finish(self, finished: CompletedRequest) -> None:
        self.finished.append(finished)
        self._done(finished.receipt)

    def _done(self, receipt: str) -> None:
        self.backend.requests.delete([receipt])
        self.leases.let_go([receipt])
        self.hand.put_down([receipt])

    def _idle(self, empty_polls: int) -> None:
        self.polls.append(empty_polls)
        if empty_polls >= self.empty_polls_before_stop:
            self.stop.set()


@pytest.fixture
def desk(backend: FlakyBackend) -> Desk:
    return Desk(backend)


@pytest.fixture
def died_once(backend: FlakyBackend, clock: Clock) -> None:
    """Requests 0 to 2 were received by a process that is gone."""
    send(backend, [request(index) for index in range(3)])
    receive(backend, 3)
    clock.advance(LEASE_S + 1)


def test_messages_become_tasks_with_their_images(desk: Desk, backend: FlakyBackend) -> None:
    send(backend, [request(0), request(1)])
    desk.run()
    assert [(task.request, task.image, task.attempts) for task in desk.tasks] == [
        (request(0), picture("label-0"), 1),
        (request(1), picture("label-1"), 1),
    ]
    assert desk.leases.held() == []


def test_a_large_image_is_read_from_the_input_store(desk: Desk, backend: FlakyBackend) -> None:
    backend.inputs.put("big/one.jpg", picture("whale"))
    send(backend, [Request(request(0).request_id, "a", 1.0, input_key="big/one.jpg")])
    assert desk.run().tasks[0].image == picture("whale")


def test_empty_receives_are_counted_until_one_brings_something(
    desk: Desk, backend: FlakyBackend
) -> None:
    desk.empty_polls_before_stop = 3
    send(backend, [request(0)])
    assert desk.run().polls == [0, 1, 2, 3]


@pytest.mark.parametrize("body", ["", "{}", '{"v":9}', "[" * 100_000, "x" * 5000])
def test_a_mangled_message_goes_to_the_dead_letters_and_hurts_no_other(
    body: str, desk: Desk, backend: FlakyBackend
) -> None:
    backend.requests.send([OutboundMessage(body)])
    send(backend, [request(0)])

    desk.run()

    (letter,) = backend.dead_letters.receive(10, lease_s=LEASE_S)
    assert letter.body == body
    assert letter.note
    assert len(letter.note) <= 1024
    assert [task.request for task in desk.tasks] == [request(0)]
    assert backend.requests.depth().total == 0
    assert desk.leases.held() == []


@pytest.mark.usefixtures("died_once")
def test_a_message_seen_before_runs_alone_with_a_note_on_record(
    desk: Desk, backend: FlakyBackend
) -> None:
    send(backend, [request(3)])
    desk.run()
    assert sorted(task.request.request_id for task in desk.tasks) == [
        request(index).request_id for index in range(4)
    ]
    for task, beside, notes in zip(desk.tasks, desk.beside, desk.notes, strict=True):
        if task.attempts > 1:
            assert beside == 1
            assert notes == [attempt_key(task.request.request_id, 1)]
        else:
            assert notes == []
    assert list(backend.records.list()) == []


def test_after_a_message_seen_before_messages_are_taken_one_at_a_time(
    desk: Desk, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(index) for index in range(8)])
    receive(backend, 8)
    clock.advance(LEASE_S + 1)
    backend.requests.asked = []

    desk.run()

    assert len(desk.tasks) == 8
    assert backend.requests.asked == [4, 1, 1, 1, 1, 1]
    assert set(desk.beside) == {1}


@pytest.mark.usefixtures("died_once")
def test_once_none_is_left_that_was_seen_before_batches_are_whole_again(
    desk: Desk, backend: FlakyBackend
) -> None:
    backend.requests.asked = []
    desk.run()
    assert backend.requests.asked == [4, 1]

    send(backend, [request(index) for index in range(3, 9)])
    desk.stop.clear()
    desk.run()
    assert backend.requests.asked == [4, 1, 4, 4, 4]
    assert len(desk.tasks) == 9


def test_each_death_when_tried_alone_is_one_more_attempt(
    backend: FlakyBackend, clock: Clock
) -> None:
    """The process dies each time: nothing is put down, and the note stays."""
    send(backend, [request(0)])
    receive(backend)
    for number in (1, 2, 3):
        clock.advance(LEASE_S + 1)
        dying = Desk(backend)
        died = threading.Event()
        dying.intake._ready = lambda _, died=died: died.set()  # type: ignore[misc]
        thread = threading.Thread(target=dying.run)
        thread.start()
        assert died.wait(PATIENCE_S)
        assert [one.key for one in backend.records.list()] == [
            attempt_key(request(0).request_id, noted) for noted in range(1, number + 1)
        ]
        forget_everything(dying, thread)

    clock.advance(LEASE_S + 1)
    survivor = Desk(backend).run()
    assert survivor.tasks == []
    (given_up,) = survivor.finished
    assert given_up.outcome.reason == "it ended its classifier process 3 times when tried alone"
    assert given_up.outcome.status == "failed"
    assert given_up.dead_letter == given_up.outcome.reason


def forget_everything(desk: Desk, thread: threading.Thread) -> None:
    """End a desk's thread as if its process had been killed: what is on record stays."""
    before = {one.key: b"" for one in desk.backend.records.list()}
    desk.stop.set()
    desk.hand.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    for key, data in before.items():
        desk.backend.records.put(key, data)


@pytest.mark.parametrize("allowed", [1, 2, 10])
def test_a_request_is_given_up_after_as_many_attempts_as_allowed(
    allowed: int, backend: FlakyBackend, clock: Clock
) -> None:
    desk = Desk(backend, WorkerLimits(wait_s=0.0, lease_s=LEASE_S, max_attempts=allowed))
    for number in range(1, allowed + 1):
        backend.records.put(attempt_key(request(0).request_id, number), b"")
    send(backend, [request(0)])
    receive(backend)
    clock.advance(LEASE_S + 1)
    assert desk.run().tasks == []
    assert desk.finished[0].outcome.reason.startswith(f"it ended its classifier process {allowed} ")


@pytest.mark.usefixtures("died_once")
def test_a_request_that_has_its_outcome_is_not_classified_again(
    desk: Desk, backend: FlakyBackend
) -> None:
    earlier: Outcome = outcome(request(1), "dog", worker="earlier")
    backend.outputs.put(outcome_key(earlier.request_id), earlier.encode())
    desk.run()
    assert [one.outcome for one in desk.finished] == [earlier]
    assert sorted(task.request.name for task in desk.tasks) == ["picture-0.jpg", "picture-2.jpg"]


@pytest.mark.usefixtures("died_once")
def test_a_mangled_stored_outcome_does_not_count(desk: Desk, backend: FlakyBackend) -> None:
    backend.outputs.put(outcome_key(request(1).request_id), b"{")
    assert len(desk.run().tasks) == 3


def test_a_request_whose_image_is_gone_fails_with_that_reason(
    desk: Desk, backend: FlakyBackend
) -> None:
    send(backend, [Request(request(0).request_id, "a", 1.0, input_key="gone/one.jpg")])
    desk.run()
    (given_up,) = desk.finished
    assert given_up.outcome.reason == "its image is not in the input store"
    assert given_up.dead_letter == ""
    assert desk.tasks == []


def test_while_the_input_store_fails_messages_are_given_back_and_taken_again(
    desk: Desk, backend: FlakyBackend
) -> None:
    backend.inputs.put("big/one.jpg", picture("whale"))
    send(backend, [Request(request(0).request_id, "a", 1.0, input_key="big/one.jpg"), request(1)])
    backend.inputs.failures = 1
    desk.run()
    assert sorted(task.request.request_id for task in desk.tasks) == [
        request(0).request_id,
        request(1).request_id,
    ]
    assert backend.requests.depth().total == 0
    assert desk.leases.held() == []


def test_a_queue_that_fails_is_asked_again(desk: Desk, backend: FlakyBackend) -> None:
    send(backend, [request(0)])
    backend.requests.failures = 1
    assert len(desk.run().tasks) == 1


def test_told_to_stop_it_takes_no_more(desk: Desk, backend: FlakyBackend) -> None:
    send(backend, [request(0)])
    desk.stop.set()
    assert desk.run().tasks == []
    assert backend.requests.depth().visible == 1


def test_no_more_is_taken_than_fits_the_hand(backend: FlakyBackend) -> None:
    limits = WorkerLimits(batch=2, hold=3, wait_s=0.0, lease_s=LEASE_S)
    desk = Desk(backend, limits)
    taken = threading.Semaphore(0)
    desk.intake._ready = lambda _: taken.release()
    send(backend, [request(index) for index in range(10)])
    thread = threading.Thread(target=desk.run)
    thread.start()
    try:
        assert taken.acquire(timeout=PATIENCE_S)
        assert taken.acquire(timeout=PATIENCE_S)
        assert not taken.acquire(timeout=0.1)
        assert backend.requests.depth().in_flight == 2
    finally:
        desk.stop.set()
        desk.hand.close()
        thread.join(PATIENCE_S)
