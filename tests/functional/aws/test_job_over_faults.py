"""A whole job under faults of all kinds: the real submission and outcome writer, on an emulator.

Nothing is lost and nothing counted twice, whatever call fails, takes effect without an answer, or
is answered by something in between.
"""

import random
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from iraas.client.submission import JobSubmission, SubmissionConfig
from iraas.core.ids import split_request_id
from iraas.core.jobs import ImageFile, Job
from iraas.core.keys import input_key
from iraas.core.messages import Request, decode_request
from iraas.core.outcomes import LabelScore, Outcome, Prediction
from iraas.core.ports import Backend, UncountedStorage
from iraas.errors import BackendError, BackendUnavailableError
from iraas.jobs.outcome_writer import CompletedRequest, OutcomeWriter
from iraas.jobs.store import create_job
from iraas.worker.leases import LeaseExtender
from tests.functional.aws.deployments import Deployment
from tests.functional.aws.faults import (
    Fault,
    FaultProxy,
    answer,
    cut_short,
    fail_entries,
    garbage,
    lose_reply,
    refuse,
)
from tests.waiting import join, wait_until

IMAGES = 16
MOST_TRIES = 50
LARGE = (3, 11)
"""Indexes of images that do not fit into a message."""
LEASE_S = 2.0
SHARE = 0.3
ANY_CALL: list[Fault] = [
    refuse,
    lose_reply,
    garbage,
    answer(500, "InternalError"),
    answer(500, "InternalError", took_effect=True),
    answer(503, "SlowDown"),
]
READS: list[Fault] = [*ANY_CALL, cut_short]
BATCHES: list[Fault] = [*ANY_CALL, fail_entries(0), fail_entries(*range(10))]
FAULTS: dict[str, list[Fault]] = {
    "GetObject": READS,
    "PutObject": [*ANY_CALL, answer(409, "ConditionalRequestConflict")],
    "GET bucket": READS,
    "ReceiveMessage": ANY_CALL,
    "SendMessageBatch": BATCHES,
    "DeleteMessageBatch": BATCHES,
    "ChangeMessageVisibilityBatch": BATCHES,
}


class Luck:
    """Chooses what happens to a call. The first of each operation goes wrong, and after many of it
    all is well, so that it ends.
    """

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()

    def choose(self, operation: str) -> Fault | None:
        with self._lock:
            self._calls[operation] += 1
            kinds = FAULTS.get(operation)
            is_first = self._calls[operation] == 1
            is_late = self._calls[operation] > 60
            if not kinds or is_late or (not is_first and self._dice.random() > SHARE):
                return None
            self.struck[operation] += 1
            return self._dice.choice(kinds)


def outcome_of(asked: Request, image: bytes, worker: str) -> Outcome:
    """A classifier's prediction: here the label is written in the image."""
    label = image[3:11].decode()
    return Outcome(
        request_id=asked.request_id,
        job_id=asked.job_id,
        name=asked.name,
        prediction=Prediction((LabelScore(label, 0.9),)),
        reason="",
        model="scripted@00000000",
        worker=worker,
        attempts=1,
        submitted_at=asked.submitted_at,
        completed_at=time.time(),
    )


class Worker:
    """Receives, keeps the leases, and finishes as a worker does."""

    def __init__(self, name: str, backend: Backend) -> None:
        self._name = name
        self._backend = backend
        self._writer = OutcomeWriter(backend)

    def work(self, done: threading.Event) -> None:
        with LeaseExtender(self._backend.requests, LEASE_S) as leases:
            while not done.is_set():
                try:
                    self._step(leases, done)
                except BackendUnavailableError:
                    continue

    def _step(self, leases: LeaseExtender, done: threading.Event) -> None:
        messages = self._backend.requests.receive(5, lease_s=LEASE_S, wait_s=1.0)
        receipts = [one.receipt for one in messages]
        leases.add(receipts)
        try:
            if messages:
                done.wait(LEASE_S / 2)  # what classifying takes: leases are extended meanwhile
            batch = []
            for message in messages:
                asked = decode_request(message.body)
                image = asked.image
                if image is None:
                    image = self._backend.inputs.get(input_key(asked.request_id, "jpg"))
                found = outcome_of(asked, image, self._name)
                batch.append(CompletedRequest(asked, found, message.receipt))
            if batch:
                self._writer.finish(batch)
        finally:
            leases.remove(receipts)


def backend_of(deployment: Deployment) -> Backend:
    """The parts of a backend that a job needs."""
    parts = SimpleNamespace(
        name="aws",
        requests=deployment.requests,
        dead_letters=deployment.dead_letters,
        responses=deployment.responses,
        inputs=deployment.inputs,
        outputs=deployment.outputs,
        records=deployment.records,
        storage=UncountedStorage(),
    )
    return cast("Backend", parts)


@pytest.fixture
def job(deployment: Deployment, tmp_path: Path) -> Job:
    deployment.allow_receives(50)  # faults take their share
    images = []
    for index in range(IMAGES):
        path = tmp_path / f"{index:02d}.jpg"
        padding = b"x" * 1_200_000 if index in LARGE else b""
        path.write_bytes(b"\xff\xd8\xff" + f"label-{index:02d}".encode() + padding)
        images.append(ImageFile(path.name, str(path)))
    backend = backend_of(deployment)
    return create_job(backend, images, sources=(str(tmp_path),), clock=time.time)


def submit(backend: Backend, job: Job) -> list[dict[int, str]]:
    """Submit, and resume after each failure; return the outcomes that each attempt reported."""
    seen_by_attempt: list[dict[int, str]] = []
    for _ in range(MOST_TRIES):
        seen: dict[int, str] = {}
        seen_by_attempt.append(seen)
        submission = JobSubmission(
            backend,
            job,
            requester_id=f"submit-{len(seen_by_attempt)}",
            max_image_bytes=10**7,
            config=SubmissionConfig(window=10, wait_s=0.5, store_poll_s=1.0),
        )
        try:
            for outcome in submission.outcomes():
                if outcome is not None:
                    index = split_request_id(outcome.request_id)[1]
                    assert index not in seen, "an outcome is reported once"
                    assert outcome.prediction is not None
                    seen[index] = outcome.prediction.label
        except BackendError:
            continue
        if submission.is_complete:
            return seen_by_attempt
    raise AssertionError(f"the job did not end: {seen_by_attempt}")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_job_over_faults_ends_with_one_outcome_for_each_image(
    shaky: Deployment, deployment: Deployment, proxy: FaultProxy, job: Job, seed: int
) -> None:
    luck = Luck(seed)
    proxy.plan_all(luck.choose)
    backend = backend_of(shaky)
    done = threading.Event()
    threads = [
        threading.Thread(target=Worker(name, backend).work, args=(done,)) for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    try:
        seen_by_attempt = submit(backend, job)
        wait_until(lambda: deployment.requests.depth().total == 0, "an empty queue")
    finally:
        done.set()
        join(*threads)
    right = {index: f"label-{index:02d}" for index in range(IMAGES)}
    assert seen_by_attempt[-1] == right  # a resumed submission also reports what was stored before
    assert len(list(deployment.outputs.list())) == IMAGES
    assert len(list(deployment.inputs.list())) == IMAGES
    assert deployment.dead_letters.depth().total == 0
    assert all(luck.struck[operation] for operation in FAULTS), luck.struck
