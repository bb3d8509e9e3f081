"""Receiving: each message becomes a task, a completed request or a dead letter."""

import threading

import pytest

from iraas.core.keys import attempt_key, attempts_of, outcome_key
from iraas.core.messages import Request
from iraas.core.outcomes import Outcome
from iraas.core.ports import OutboundMessage
from iraas.jobs.outcome_writer import CompletedRequest
from iraas.worker.leases import LeaseExtender
from iraas.worker.prefetch import PrefetchWindow
from iraas.worker.receiver import MessageReceiver, Task, WorkerLimits
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import JOB, LEASE_S, outcome, receive, request, send
from tests.fakes.scripted_classifier import image_bytes
from tests.waiting import PATIENCE_S

LIMITS = WorkerLimits(wait_s=0.0, lease_s=LEASE_S)


class Receiving:
    """A receiver with a classifier that finishes at once.

    Attributes:
        tasks: The tasks to classify.
        beside: Messages in flight when each task came, itself included.
        notes: The attempt markers stored when each task came.
        finished: Requests that needed no classification.
        polls: The numbers of consecutive empty receives it reported.
    """

    def __init__(self, backend: FlakyBackend, limits: WorkerLimits = LIMITS) -> None:
        self.backend = backend
        self.tasks: list[Task] = []
        self.beside: list[int] = []
        self.notes: list[list[str]] = []
        self.finished: list[CompletedRequest] = []
        self.polls: list[int] = []
        self.prefetch = PrefetchWindow(limits.max_prefetch, limits.max_prefetch_bytes)
        self.leases = LeaseExtender(backend.requests, limits.lease_s)
        self.stop = threading.Event()
        self.empty_polls_before_stop = 1
        self.receiver = MessageReceiver(
            backend,
            limits,
            self.prefetch,
            self.leases,
            on_task=self._classify,
            on_completed=self._finish,
            make_failure=lambda asked, reason, attempts: outcome(asked, None, reason=reason),
            on_poll=self._on_poll,
        )

    def run(self) -> "Receiving":
        """Receive until a receive is empty."""
        self.receiver.run(self.stop)
        return self

    def _classify(self, task: Task) -> None:
        self.tasks.append(task)
        self.beside.append(len(self.prefetch._sizes))
        self.notes.append([one.key for one in self.backend.records.list(attempts_of(JOB))])
        self._done(task.receipt)

    def _finish(self, finished: CompletedRequest) -> None:
        self.finished.append(finished)
        self._done(finished.receipt)

    def _done(self, receipt: str) -> None:
        self.backend.requests.delete([receipt])
        self.leases.remove([receipt])
        self.prefetch.remove([receipt])

    def _on_poll(self, empty_polls: int) -> None:
        self.polls.append(empty_polls)
        if empty_polls >= self.empty_polls_before_stop:
            self.stop.set()


@pytest.fixture
def receiving(backend: FlakyBackend) -> Receiving:
    return Receiving(backend)


@pytest.fixture
def crashed_once(backend: FlakyBackend, clock: Clock) -> None:
    """Requests 0 to 2 were received by a dead process."""
    send(backend, [request(index) for index in range(3)])
    receive(backend, 3)
    clock.advance(LEASE_S + 1)


def test_messages_become_tasks_with_their_images(
    receiving: Receiving, backend: FlakyBackend
) -> None:
    send(backend, [request(0), request(1)])
    receiving.run()
    assert [(task.request, task.image, task.attempts) for task in receiving.tasks] == [
        (request(0), image_bytes("label-0"), 1),
        (request(1), image_bytes("label-1"), 1),
    ]
    assert receiving.leases.receipts() == []


def test_a_large_image_is_read_from_the_input_store(
    receiving: Receiving, backend: FlakyBackend
) -> None:
    backend.inputs.put("big/one.jpg", image_bytes("whale"))
    send(backend, [Request(request(0).request_id, "a", 1.0, input_key="big/one.jpg")])
    assert receiving.run().tasks[0].image == image_bytes("whale")


def test_empty_receives_are_counted_until_one_brings_something(
    receiving: Receiving, backend: FlakyBackend
) -> None:
    receiving.empty_polls_before_stop = 3
    send(backend, [request(0)])
    assert receiving.run().polls == [0, 1, 2, 3]


@pytest.mark.parametrize("body", ["", "{}", '{"v":9}', "[" * 100_000, "x" * 5000])
def test_a_corrupt_message_goes_to_the_dead_letters_and_does_not_affect_others(
    body: str, receiving: Receiving, backend: FlakyBackend
) -> None:
    backend.requests.send([OutboundMessage(body)])
    send(backend, [request(0)])

    receiving.run()

    (letter,) = backend.dead_letters.receive(10, lease_s=LEASE_S)
    assert letter.body == body
    assert letter.note
    assert len(letter.note) <= 1024
    assert [task.request for task in receiving.tasks] == [request(0)]
    assert backend.requests.depth().total == 0
    assert receiving.leases.receipts() == []


@pytest.mark.usefixtures("crashed_once")
def test_a_redelivered_message_runs_alone_with_a_note_on_record(
    receiving: Receiving, backend: FlakyBackend
) -> None:
    send(backend, [request(3)])
    receiving.run()
    assert sorted(task.request.request_id for task in receiving.tasks) == [
        request(index).request_id for index in range(4)
    ]
    for task, beside, notes in zip(receiving.tasks, receiving.beside, receiving.notes, strict=True):
        if task.attempts > 1:
            assert beside == 1
            assert notes == [attempt_key(task.request.request_id, 1)]
        else:
            assert notes == []
    assert list(backend.records.list()) == []


def test_after_a_redelivered_message_messages_are_taken_one_at_a_time(
    receiving: Receiving, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(index) for index in range(8)])
    receive(backend, 8)
    clock.advance(LEASE_S + 1)
    backend.requests.asked = []

    receiving.run()

    assert len(receiving.tasks) == 8
    assert backend.requests.asked == [4, 1, 1, 1, 1, 1]
    assert set(receiving.beside) == {1}


@pytest.mark.usefixtures("crashed_once")
def test_without_redelivered_messages_batches_are_full_again(
    receiving: Receiving, backend: FlakyBackend
) -> None:
    backend.requests.asked = []
    receiving.run()
    assert backend.requests.asked == [4, 1]

    send(backend, [request(index) for index in range(3, 9)])
    receiving.stop.clear()
    receiving.run()
    assert backend.requests.asked == [4, 1, 4, 4, 4]
    assert len(receiving.tasks) == 9


def test_each_crash_when_run_alone_is_one_more_attempt(backend: FlakyBackend, clock: Clock) -> None:
    """The process dies each time: nothing is stored, and the note stays."""
    send(backend, [request(0)])
    receive(backend)
    for number in (1, 2, 3):
        clock.advance(LEASE_S + 1)
        dying = Receiving(backend)
        died = threading.Event()
        dying.receiver._on_task = lambda _, died=died: died.set()  # type: ignore[misc]
        thread = threading.Thread(target=dying.run)
        thread.start()
        assert died.wait(PATIENCE_S)
        assert [one.key for one in backend.records.list()] == [
            attempt_key(request(0).request_id, noted) for noted in range(1, number + 1)
        ]
        forget_everything(dying, thread)

    clock.advance(LEASE_S + 1)
    survivor = Receiving(backend).run()
    assert survivor.tasks == []
    (given_up,) = survivor.finished
    assert given_up.outcome.reason == "it ended its classifier process 3 times when tried alone"
    assert given_up.outcome.status == "failed"
    assert given_up.dead_letter == given_up.outcome.reason


def forget_everything(receiving: Receiving, thread: threading.Thread) -> None:
    """End a receiving's thread as if its process had been killed: what is on record stays."""
    before = {one.key: b"" for one in receiving.backend.records.list()}
    receiving.stop.set()
    receiving.prefetch.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    for key, data in before.items():
        receiving.backend.records.put(key, data)


@pytest.mark.parametrize("allowed", [1, 2, 10])
def test_a_request_is_given_up_after_as_many_attempts_as_allowed(
    allowed: int, backend: FlakyBackend, clock: Clock
) -> None:
    receiving = Receiving(backend, WorkerLimits(wait_s=0.0, lease_s=LEASE_S, max_attempts=allowed))
    for number in range(1, allowed + 1):
        backend.records.put(attempt_key(request(0).request_id, number), b"")
    send(backend, [request(0)])
    receive(backend)
    clock.advance(LEASE_S + 1)
    assert receiving.run().tasks == []
    assert receiving.finished[0].outcome.reason.startswith(
        f"it ended its classifier process {allowed} "
    )


@pytest.mark.usefixtures("crashed_once")
def test_a_request_that_has_its_outcome_is_not_classified_again(
    receiving: Receiving, backend: FlakyBackend
) -> None:
    earlier: Outcome = outcome(request(1), "dog", worker="earlier")
    backend.outputs.put(outcome_key(earlier.request_id), earlier.encode())
    receiving.run()
    assert [one.outcome for one in receiving.finished] == [earlier]
    assert sorted(task.request.name for task in receiving.tasks) == [
        "image-0.jpg",
        "image-2.jpg",
    ]


@pytest.mark.usefixtures("crashed_once")
def test_a_corrupt_stored_outcome_does_not_count(
    receiving: Receiving, backend: FlakyBackend
) -> None:
    backend.outputs.put(outcome_key(request(1).request_id), b"{")
    assert len(receiving.run().tasks) == 3


def test_a_request_whose_image_is_gone_fails_with_that_reason(
    receiving: Receiving, backend: FlakyBackend
) -> None:
    send(backend, [Request(request(0).request_id, "a", 1.0, input_key="gone/one.jpg")])
    receiving.run()
    (given_up,) = receiving.finished
    assert given_up.outcome.reason == "its image is not in the input store"
    assert given_up.dead_letter == ""
    assert receiving.tasks == []


def test_while_the_input_store_fails_messages_are_released_and_received_again(
    receiving: Receiving, backend: FlakyBackend
) -> None:
    backend.inputs.put("big/one.jpg", image_bytes("whale"))
    send(backend, [Request(request(0).request_id, "a", 1.0, input_key="big/one.jpg"), request(1)])
    backend.inputs.failures = 1
    receiving.run()
    assert sorted(task.request.request_id for task in receiving.tasks) == [
        request(0).request_id,
        request(1).request_id,
    ]
    assert backend.requests.depth().total == 0
    assert receiving.leases.receipts() == []


def test_a_failing_queue_is_polled_again(receiving: Receiving, backend: FlakyBackend) -> None:
    send(backend, [request(0)])
    backend.requests.failures = 1
    assert len(receiving.run().tasks) == 1


def test_when_stopped_it_receives_no_more(receiving: Receiving, backend: FlakyBackend) -> None:
    send(backend, [request(0)])
    receiving.stop.set()
    assert receiving.run().tasks == []
    assert backend.requests.depth().visible == 1


def test_no_more_is_taken_than_fits_the_prefetch_window(backend: FlakyBackend) -> None:
    limits = WorkerLimits(receive_batch_size=2, max_prefetch=3, wait_s=0.0, lease_s=LEASE_S)
    receiving = Receiving(backend, limits)
    taken = threading.Semaphore(0)
    receiving.receiver._on_task = lambda _: taken.release()
    send(backend, [request(index) for index in range(10)])
    thread = threading.Thread(target=receiving.run)
    thread.start()
    try:
        assert taken.acquire(timeout=PATIENCE_S)
        assert taken.acquire(timeout=PATIENCE_S)
        assert not taken.acquire(timeout=0.1)
        assert backend.requests.depth().in_flight == 2
    finally:
        receiving.stop.set()
        receiving.prefetch.close()
        thread.join(PATIENCE_S)
