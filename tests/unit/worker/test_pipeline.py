"""The complete pipeline of a classifier process, on a memory backend."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from iraas.core.ids import request_id
from iraas.core.messages import Request, encode_request
from iraas.core.ports import OutboundMessage, QueueDepth
from iraas.errors import DecoderCrashError, ImageError
from iraas.worker.heartbeat import Heartbeat
from iraas.worker.pipeline import Pipeline
from iraas.worker.receiver import WorkerLimits
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import (
    JOB,
    LEASE_S,
    OTHER_JOB,
    REQUESTER,
    count_outcomes,
    request,
    send,
    stored,
)
from tests.fakes.scripted_classifier import BROKEN, ScriptedClassifier, image_bytes
from tests.waiting import PATIENCE_S, wait_until

LIMITS = WorkerLimits(receive_batch_size=4, max_prefetch=8, lease_s=LEASE_S, wait_s=0.05)


class Running:
    """A pipeline in a thread.

    Attributes:
        heartbeats: All heartbeats so far.
    """

    def __init__(
        self, backend: FlakyBackend, classifier: ScriptedClassifier, limits: WorkerLimits = LIMITS
    ) -> None:
        self.heartbeats: list[Heartbeat] = []
        self.classifier = classifier
        self.pipeline = Pipeline(
            backend,
            classifier,
            "w-1",
            limits=limits,
            on_heartbeat=self.heartbeats.append,
            clock=lambda: 7.0,
        )
        self._thread = threading.Thread(target=self.pipeline.run)
        self._thread.start()

    def stop(self) -> None:
        self.pipeline.stop()
        self.classifier.gate.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


Start = Callable[..., Running]


@pytest.fixture
def start(backend: FlakyBackend) -> Iterator[Start]:
    """Starts pipelines, and stops at the end those that still run."""
    running: list[Running] = []

    def begin(
        classifier: ScriptedClassifier | None = None, limits: WorkerLimits = LIMITS
    ) -> Running:
        running.append(Running(backend, classifier or ScriptedClassifier(), limits))
        return running[-1]

    yield begin
    for one in running:
        one.stop()


def test_each_request_gets_its_label_and_its_reply(backend: FlakyBackend, start: Start) -> None:
    queue = backend.responses.create(REQUESTER)
    send(backend, [request(index) for index in range(25)])
    start()
    wait_until(lambda: backend.requests.depth().total == 0, "all done")
    for index in range(25):
        found = stored(backend, index)
        assert found.prediction is not None
        assert found.prediction.label == f"label-{index}"
        assert (found.worker, found.model, found.attempts) == ("w-1", "scripted@00000000", 1)
        assert (found.submitted_at, found.completed_at) == (1.0, 7.0)
    assert queue.depth().total == 25


def test_a_broken_image_fails_with_its_reason_and_does_not_affect_others(
    backend: FlakyBackend, start: Start
) -> None:
    send(backend, [request(0), request(1, BROKEN), request(2)])
    start(ScriptedClassifier(batch_size=3))
    wait_until(lambda: backend.requests.depth().total == 0, "all done")
    assert [stored(backend, index).status for index in range(3)] == ["ok", "failed", "ok"]
    assert stored(backend, 1).reason == "the image is broken"
    assert backend.dead_letters.depth().total == 0


def test_it_never_holds_more_than_its_prefetch_limit(backend: FlakyBackend, start: Start) -> None:
    classifier = ScriptedClassifier()
    classifier.gate.clear()
    send(backend, [request(index) for index in range(40)])
    running = start(classifier)
    wait_until(
        lambda: backend.requests.depth().in_flight == LIMITS.max_prefetch, "a full prefetch window"
    )
    classifier.gate.set()
    wait_until(lambda: backend.requests.depth().total == 0, "all done")
    running.stop()
    assert max(len(heartbeat.in_flight) for heartbeat in running.heartbeats) == LIMITS.max_prefetch


def test_the_next_are_received_while_one_is_classified(backend: FlakyBackend, start: Start) -> None:
    classifier = ScriptedClassifier()
    classifier.gate.clear()
    send(backend, [request(0)])
    start(classifier)
    assert classifier.waiting.wait(PATIENCE_S)
    send(backend, [request(1)])
    wait_until(lambda: backend.requests.depth() == QueueDepth(0, 2, 0), "a receive ahead")


def test_when_stopped_it_finishes_the_current_task_and_releases_the_rest(
    backend: FlakyBackend, start: Start
) -> None:
    classifier = ScriptedClassifier()
    classifier.gate.clear()
    send(backend, [request(index) for index in range(20)])
    running = start(classifier)
    assert classifier.waiting.wait(PATIENCE_S)
    wait_until(
        lambda: backend.requests.depth().in_flight == LIMITS.max_prefetch, "a full prefetch window"
    )

    running.stop()

    assert classifier.batches == [["label-0"]]
    assert count_outcomes(backend) == 1
    assert backend.requests.depth() == QueueDepth(19, 0, 0)


def test_when_stopped_and_idle_it_exits(backend: FlakyBackend, start: Start) -> None:
    running = start()
    wait_until(
        lambda: running.heartbeats and running.heartbeats[-1].empty_polls > 0, "an empty poll"
    )
    running.stop()
    assert running.heartbeats[-1].draining


def test_two_processes_share_the_work_without_doing_any_twice(
    backend: FlakyBackend, start: Start
) -> None:
    send(backend, [request(index) for index in range(60)])
    both = [start(), start()]
    wait_until(lambda: backend.requests.depth().total == 0, "all done")
    done = [label for one in both for batch in one.classifier.batches for label in batch]
    assert sorted(done) == sorted(f"label-{index}" for index in range(60))


def test_a_model_with_batches_gets_them(backend: FlakyBackend, start: Start) -> None:
    classifier = ScriptedClassifier(batch_size=4)
    classifier.gate.clear()
    send(backend, [request(index) for index in range(12)])
    start(classifier)
    wait_until(
        lambda: backend.requests.depth().in_flight == LIMITS.max_prefetch, "a full prefetch window"
    )
    classifier.gate.set()
    wait_until(lambda: backend.requests.depth().total == 0, "all done")
    sizes = [len(batch) for batch in classifier.batches]
    assert max(sizes) == 4
    assert sum(sizes) == 12
    assert count_outcomes(backend) == 12


def test_while_the_store_fails_outcomes_are_kept_and_stored_later(
    backend: FlakyBackend, start: Start
) -> None:
    backend.outputs.failures = 1
    send(backend, [request(0), request(1)])
    start()
    wait_until(lambda: backend.requests.depth().total == 0, "all done")
    assert count_outcomes(backend) == 2


def test_when_stopped_while_the_store_fails_it_releases_unstored_messages(
    backend: FlakyBackend, start: Start
) -> None:
    backend.outputs.failures = 10**6
    send(backend, [request(0)])
    running = start()
    wait_until(lambda: running.classifier.batches, "a classification")
    running.stop()
    assert backend.requests.depth() == QueueDepth(1, 0, 0)
    assert running.heartbeats[-1].done == 0


def test_heartbeats_report_the_model_the_work_and_the_end(
    backend: FlakyBackend, start: Start
) -> None:
    send(backend, [request(0), request(1, BROKEN)])
    running = start()
    wait_until(lambda: backend.requests.depth().total == 0, "all done")
    wait_until(lambda: running.heartbeats[-1].done == 2, "the heartbeat of the second outcome")
    assert running.heartbeats[0].model == "scripted@00000000"
    assert running.heartbeats[-1].failed == 1
    assert running.heartbeats[-1].in_flight == ()
    assert not running.heartbeats[-1].draining
    running.stop()
    assert running.heartbeats[-1].draining


def test_a_message_in_flight_is_in_the_heartbeat_so_that_it_can_be_released(
    backend: FlakyBackend, start: Start
) -> None:
    classifier = ScriptedClassifier()
    classifier.gate.clear()
    send(backend, [request(0)])
    running = start(classifier)
    assert classifier.waiting.wait(PATIENCE_S)
    backend.requests.release(running.heartbeats[-1].in_flight)
    assert backend.requests.depth().visible == 1


def test_a_failure_of_the_classifier_itself_is_not_an_outcome(backend: FlakyBackend) -> None:
    """Any other exception is a bug: the process ends, and its supervisor reports it."""

    class Faulty(ScriptedClassifier):
        def prepare(self, data: bytes) -> str:
            raise RuntimeError("out of memory")

    send(backend, [request(0)])
    pipeline = Pipeline(backend, Faulty(), "w-1", limits=LIMITS, on_heartbeat=lambda _: None)
    try:
        with pytest.raises(RuntimeError, match="out of memory") as caught:
            pipeline.run()
        assert not isinstance(caught.value, ImageError)
        assert count_outcomes(backend) == 0
    finally:
        pipeline.stop()
        pipeline._to_store.put(None)
        pipeline._prefetch.close()


def test_an_image_that_crashes_its_decoder_fails_and_its_message_goes_to_the_dead_letters(
    backend: FlakyBackend, start: Start
) -> None:
    class Crashing(ScriptedClassifier):
        def prepare(self, data: bytes) -> str:
            raise DecoderCrashError("it ended its classifier process 3 times")

    send(backend, [request(0)])
    start(Crashing())
    wait_until(lambda: count_outcomes(backend) == 1, "the outcome")
    assert stored(backend, 0).reason == "it ended its classifier process 3 times"
    wait_until(lambda: backend.dead_letters.depth().total == 1, "the dead letter")
    wait_until(lambda: backend.requests.depth().total == 0, "the message's end")


COSTLY_S = 0.05


class CostlyClassifier(ScriptedClassifier):
    """A classifier that is busy with some images for a while."""

    def prepare(self, data: bytes) -> str:
        label = super().prepare(data)
        if label == "costly":
            threading.Event().wait(COSTLY_S)
        return label


def test_a_job_of_costly_images_does_not_hold_up_one_of_quick_ones() -> None:
    backend = FlakyBackend(time.time)
    for job, label in ((OTHER_JOB, "costly"), (JOB, "quick")):
        asked = [
            Request(request_id(job, index), "a.jpg", 1.0, "", image_bytes(label))
            for index in range(40)
        ]
        backend.requests.send([OutboundMessage(encode_request(one), group=job) for one in asked])
    classifier = CostlyClassifier()
    running = Running(backend, classifier)
    wait_until(lambda: backend.requests.depth().total == 0, "all done")
    running.stop()
    labels = [label for batch in classifier.batches for label in batch]
    last_quick = max(index for index, label in enumerate(labels) if label == "quick")
    assert labels[:last_quick].count("costly") < 20
