"""Load on the queue of a deployment in memory, with a scripted worker."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.core.keys import outcome_key
from iraas.core.messages import Request, decode_request, encode_reply
from iraas.core.outcomes import Outcome
from iraas.core.ports import OutboundMessage
from iraas.jobs.store import list_jobs
from iraas.loadgen.images import LoadedImage
from iraas.loadgen.plan import LoadPlan
from iraas.loadgen.queue_target import QueueTarget
from iraas.loadgen.results import Failure, Measurement
from iraas.loadgen.session import LoadResult, make_load
from tests.async_run import run_async
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import outcome
from tests.fakes.scripted_classifier import image_bytes
from tests.waiting import PATIENCE_S

CATS = [LoadedImage(f"{one}.jpg", image_bytes(one), one) for one in ("cat", "lion", "lynx")]
NO_IMAGE = LoadedImage("notes.jpg", b"only text", "cat")
Work = Callable[[MemoryBackend, Request], Outcome | None]


def label(_backend: MemoryBackend, asked: Request) -> Outcome | None:
    """The outcome of a request: its label is in its name."""
    return outcome(asked, asked.name.removesuffix(".jpg"))


@contextmanager
def worker(backend: MemoryBackend, work: Work, *, replies: bool = True) -> Iterator[None]:
    """A minimal worker: stores the outcome of `work`, replies, and deletes."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            for message in backend.requests.receive(10, lease_s=30, wait_s=0.05):
                asked = decode_request(message.body)
                done = work(backend, asked)
                if done is not None:
                    backend.outputs.put_if_absent([(outcome_key(asked.request_id), done.encode())])
                    if replies:
                        reply = OutboundMessage(encode_reply(done))
                        backend.responses.find(asked.reply_to).send([reply])
                backend.requests.delete([message.receipt])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def load(
    backend: MemoryBackend, plan: LoadPlan, images: list[LoadedImage] | None = None
) -> tuple[LoadResult, list[Measurement]]:
    measured: list[Measurement] = []

    async def run() -> LoadResult:
        target = QueueTarget(backend, max_image_bytes=1000, clock=time.time)
        async with target:
            return await make_load(
                plan,
                target,
                images or CATS,
                sampler=None,
                on_completed=measured.append,
                on_progress=lambda _: None,
                random=Random(1),
            )

    return run_async(run()), sorted(measured, key=lambda one: one.number)


def test_every_requester_gets_the_outcome_of_its_own_image() -> None:
    backend = MemoryBackend(clock=time.time)
    with worker(backend, label):
        result, measured = load(backend, LoadPlan(200, None, in_flight=20, timeout_s=PATIENCE_S))

    assert (result.summary.succeeded, result.summary.right) == (200, 200)
    assert len({one.result.request_id for one in measured}) == 200
    assert {one.result.worker for one in measured} == {"w-1"}


def test_after_a_run_the_response_queue_is_deleted_and_the_job_recorded() -> None:
    backend = MemoryBackend(clock=time.time)
    with worker(backend, label):
        load(backend, LoadPlan(5, None, in_flight=2, timeout_s=PATIENCE_S))

    assert backend.responses.requesters() == []
    jobs = list(list_jobs(backend))
    assert [(one.job.total, one.done, one.job.sealed) for one in jobs] == [(5, 5, True)]


def test_a_lost_reply_is_recovered_from_the_output_store() -> None:
    backend = MemoryBackend(clock=time.time)
    with worker(backend, label, replies=False):
        result, _ = load(backend, LoadPlan(3, None, in_flight=3, timeout_s=PATIENCE_S))

    assert result.summary.right == 3


def test_a_failed_image_and_an_invalid_one_are_distinguished() -> None:
    backend = MemoryBackend(clock=time.time)

    def fail(_backend: MemoryBackend, asked: Request) -> Outcome:
        return outcome(asked, None, reason="it is truncated")

    with worker(backend, fail):
        result, _ = load(backend, LoadPlan(2, None, 1, timeout_s=PATIENCE_S), [CATS[0], NO_IMAGE])

    assert result.summary.failures == {"image failed": 1, "refused": 1}
    assert result.summary.reasons["image failed"] == "it is truncated"


def test_requests_without_a_worker_time_out() -> None:
    backend = MemoryBackend(clock=time.time)

    result, measured = load(backend, LoadPlan(4, None, in_flight=4, timeout_s=0.3))

    assert result.summary.failures == {"timeout": 4}
    assert all(one.latency_s >= 0.3 for one in measured)
    assert backend.requests.depth().total == 4


def test_a_queue_that_fails_is_a_server_error_of_those_requests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    backend = FlakyBackend(Clock())
    backend.requests.failures = 100

    result, measured = load(backend, LoadPlan(3, None, in_flight=3, timeout_s=PATIENCE_S))

    assert result.summary.failures == {"server error": 3}
    assert measured[0].result.reason == "the queue is unavailable for a moment"
    assert measured[0].result.failure is Failure.SERVER
