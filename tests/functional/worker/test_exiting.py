"""A classifier process that stops in the middle of a receive, on the local backend."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from iraas.backends.local.backend import LocalBackend
from iraas.core.ids import request_id
from iraas.core.keys import outcome_key
from iraas.core.messages import encode_request
from iraas.core.outcomes import decode_outcome
from iraas.core.ports import OutboundMessage, ReceivedMessage
from iraas.worker.pipeline import Pipeline
from iraas.worker.receiver import WorkerLimits
from tests.fakes.sample_requests import JOB, request
from tests.fakes.scripted_classifier import ScriptedClassifier
from tests.waiting import PATIENCE_S, wait_until

IMAGES = 6


class Polling(LocalBackend):
    """The local backend, which signals the start of a receive."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, "test")
        self.receiving = threading.Event()
        receive = self.requests.receive

        def signalling(
            max_messages: int, *, lease_s: float, wait_s: float = 0.0
        ) -> list[ReceivedMessage]:
            self.receiving.set()
            return receive(max_messages, lease_s=lease_s, wait_s=wait_s)

        self.requests.receive = signalling  # type: ignore[method-assign]


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Polling]:
    opened = Polling(tmp_path)
    yield opened
    opened.close()


def run(backend: Polling, limits: WorkerLimits) -> tuple[Pipeline, threading.Thread]:
    """Start a pipeline and wait until its receive waits."""
    backend.receiving.clear()
    pipeline = Pipeline(
        backend, ScriptedClassifier(), "w-1", limits=limits, on_heartbeat=lambda _: None
    )
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    assert backend.receiving.wait(PATIENCE_S)
    return pipeline, thread


def test_a_job_sent_while_a_worker_exits_is_received_once(
    backend: Polling,
) -> None:
    leaving, thread = run(backend, WorkerLimits(wait_s=3.0))
    leaving.stop()
    backend.requests.send(
        [OutboundMessage(encode_request(request(index)), group=JOB) for index in range(IMAGES)]
    )
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert backend.requests.depth().in_flight == 0

    next_one, thread = run(backend, WorkerLimits(wait_s=0.1))
    wait_until(lambda: backend.requests.depth().total == 0, "all done")
    next_one.stop()
    thread.join(PATIENCE_S)

    outcomes = [
        decode_outcome(backend.outputs.get(outcome_key(request_id(JOB, index))))
        for index in range(IMAGES)
    ]
    assert [one.attempts for one in outcomes] == [1] * IMAGES
