"""A web tier that a browser visits, on a deployment in memory that outlives it."""

import socket
import threading
import time
from collections.abc import Sequence

from iraas.backends.memory import MemoryBackend
from iraas.core.ids import request_id
from iraas.core.jobs import Job
from iraas.core.keys import input_key, outcome_key
from iraas.core.outcomes import LabelScore, Outcome, Prediction
from iraas.jobs.uploads import JobRepository
from iraas.web.config import WebConfig
from iraas.web.server import WebServer
from iraas.worker.heartbeat import Heartbeat
from iraas.worker.pipeline import Pipeline
from iraas.worker.receiver import WorkerLimits
from tests.browser.sample_images import LabelReader, image_bytes
from tests.waiting import PATIENCE_S

DEPLOYMENT = "shop"


class Site:
    """The deployment, the web tier, and workers, in threads of the test.

    Attributes:
        backend: The deployment; it stays when the web tier is stopped.
        url: The web tier's address, the same after a restart.
        classifier: What all workers ask.
        limits: The web tier's bounds, from its next start on.
    """

    def __init__(self, limits: WebConfig | None = None, token: str | None = None) -> None:
        self.backend = MemoryBackend()
        self.classifier = LabelReader()
        self.limits = limits
        self._token = token
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._pipelines: list[tuple[Pipeline, threading.Thread]] = []
        self.start()

    def start(self) -> None:
        """Start the web tier, or start it again, and wait until it accepts requests."""
        self._server = WebServer(
            self.backend,
            deployment=DEPLOYMENT,
            port=self._port,
            token=self._token,
            limits=self.limits,
        )
        is_ready = threading.Event()
        self._thread = threading.Thread(
            target=self._server.run, args=(lambda _: is_ready.set(),), daemon=True
        )
        self._thread.start()
        assert is_ready.wait(PATIENCE_S)

    def stop(self) -> None:
        """Stop the web tier."""
        self._server.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def depths_noted(self) -> set[int]:
        """The number of waiting images at each sample of the web tier."""
        history = self._server._server._state.history
        return {one.visible for one in history.samples(0.0)}

    def hire(self) -> None:
        """Start a worker."""
        number = len(self._pipelines) + 1
        pipeline = Pipeline(
            self.backend,
            self.classifier,
            f"w-{number}",
            limits=WorkerLimits(wait_s=0.1),
            on_heartbeat=_ignore_heartbeat,
        )
        thread = threading.Thread(target=pipeline.run, daemon=True)
        thread.start()
        self._pipelines.append((pipeline, thread))

    def dismiss(self) -> None:
        """Stop the workers."""
        self.classifier.gate.set()
        while self._pipelines:
            pipeline, thread = self._pipelines.pop()
            pipeline.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def close(self) -> None:
        """Stop all."""
        self.dismiss()
        self.stop()

    def make_job(self, outcomes: Sequence[tuple[str, str | None]], *, waiting: int = 0) -> Job:
        """Store a sealed job.

        Args:
            outcomes: Names and labels; None for a failure.
            waiting: The number of further images that never get an outcome.
        """
        uploads = JobRepository(self.backend, time.time)
        job = uploads.open()
        names = [name for name, _ in outcomes] + [f"waiting {one}.jpg" for one in range(waiting)]
        for start in range(0, len(names), 1000):
            uploads.add(job.job_id, names[start : start + 1000])
        for index, (name, label) in enumerate(outcomes):
            self.store(job.job_id, index, name, label)
        return uploads.seal(job.job_id)

    def store(self, job_id: str, index: int, name: str, label: str | None) -> None:
        """Store the outcome of one image, and the image."""
        identity = request_id(job_id, index)
        shown = image_bytes("stored", index) if index < 100 else SHOWN_BY_MANY
        self.backend.inputs.put(input_key(identity, "jpg"), shown)
        outcome = make_outcome(identity, index, name, label)
        self.backend.outputs.put(outcome_key(identity), outcome.encode())


SHOWN_BY_MANY = image_bytes("stored", 7)


def make_outcome(identity: str, index: int, name: str, label: str | None) -> Outcome:
    """An outcome as a worker would have stored it just now."""
    top = (LabelScore(label, 0.9 - index % 50 / 100), LabelScore("tench", 0.05)) if label else ()
    now = time.time()
    return Outcome(
        request_id=identity,
        job_id=identity[:26],
        name=name,
        prediction=Prediction(top) if top else None,
        reason="" if label else "the image is cut off in its middle",
        model="scripted@00000000",
        worker="w-1",
        attempts=1,
        submitted_at=now - 0.25 - index / 1000,
        completed_at=now,
    )


def free_port() -> int:
    """An unused port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _ignore_heartbeat(_: Heartbeat) -> None:
    """No supervisor listens."""
