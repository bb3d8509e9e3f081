"""What a classifier process spends its CPU time on, an image: the model's share and all the rest.

``python benchmarks/overhead_by_stage.py [--count 500] [--backend aws] [--json]``

Runs the worker's own pipeline in this process, over a queue filled before, with a clock of CPU time
around each call to a port. CPU time of the thread that makes the call: other load on the machine
hardly touches it. ``model alone`` is the same images through the same classifier unconfined, in
this process, just before: the limit. ``confined process`` is what its process takes, and ``ask it``
what sending images there and reading its answers takes. ``everything`` is the CPU time of both
processes; what is in no stage is JSON, base64, threads and the interpreter.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import platformdirs
import psutil
from dataset import make_dataset
from ministack import running_ministack

from iraas.backends.aws.backend import AwsBackend
from iraas.backends.local.backend import LocalBackend
from iraas.backends.local.sqlite_queue import MAX_BODY_BYTES
from iraas.cli.commands.classifier_process import AWS_LIMITS, LOCAL_LIMITS
from iraas.client.job_sender import JobSender
from iraas.client.outcome_ledger import OutcomeLedger
from iraas.client.sender import Sender
from iraas.client.sources import find_images
from iraas.core.ports import Backend
from iraas.jobs.store import create_job, iter_manifest
from iraas.models.confined_classifier import ConfinedClassifier, ImageLimits
from iraas.models.loading import load_classifier
from iraas.models.zoo import DEFAULT_MODEL, ensure_bundle
from iraas.worker.heartbeat import Heartbeat
from iraas.worker.pipeline import Pipeline
from iraas.worker.receiver import WorkerLimits

MAX_IMAGE_BYTES = 50_000_000


class CpuClock:
    """Adds up the CPU time of calls, by stage. Each thread adds its own."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def measuring(self, stage: str) -> Iterator[None]:
        """Add the CPU time of what is done meanwhile to a stage."""
        began = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - began
            with self._lock:
                self.seconds[stage] += spent


class Timed:
    """Any port, with a clock around the methods that are named."""

    def __init__(self, port: object, clock: CpuClock, stages: dict[str, str]) -> None:
        self._port = port
        self._clock = clock
        self._stages = stages

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        stage = self._stages.get(name)
        return found if stage is None else self._timed(found, stage)

    def _timed(self, method: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self._clock.measuring(stage):
                return method(*arguments, **named)

        return call


class TimedBackend:
    """A backend whose ports a worker's hot path calls are timed."""

    def __init__(self, backend: Backend, clock: CpuClock) -> None:
        self.requests = Timed(
            backend.requests,
            clock,
            {"receive": "receive", "delete": "delete", "extend": "extend leases"},
        )
        self.inputs = Timed(
            backend.inputs, clock, {"get": "read input", "put_if_absent": "store input"}
        )
        self.outputs = Timed(backend.outputs, clock, {"put_if_absent": "store outcome"})
        self.responses = _TimedResponses(backend, clock)
        self.records = backend.records
        self.dead_letters = backend.dead_letters


class _TimedResponses:
    def __init__(self, backend: Backend, clock: CpuClock) -> None:
        self._backend = backend
        self._clock = clock

    def find(self, requester_id: str) -> Any:
        return Timed(self._backend.responses.find(requester_id), self._clock, {"send": "reply"})


def fill(backend: Backend, images: Path, clock: CpuClock) -> int:
    found = find_images([str(images)])
    job = create_job(backend, found, sources=(str(images),), clock=time.time)
    backend.responses.create("bench")
    sender = Sender(backend, job, reply_to="bench", clock=time.time)
    dispatch = JobSender(
        backend,
        sender,
        OutcomeLedger(job.total),
        window=job.total,
        max_image_bytes=MAX_IMAGE_BYTES,
    )
    with clock.measuring("(requester: read and send)"):
        dispatch.send_all(iter_manifest(backend, job))
    return job.total


def run_alone(bundle: Path, images: Path, clock: CpuClock) -> None:
    """Classify the images with nothing around the model."""
    classifier = load_classifier(bundle)
    files = [path.read_bytes() for path in sorted(images.glob("*.jpg"))]
    classifier.classify(files[:10])
    with clock.measuring("model alone"):
        for file in files:
            classifier.classify([file])


def work_off(
    backend: Backend,
    classifier: ConfinedClassifier,
    total: int,
    clock: CpuClock,
    limits: WorkerLimits,
) -> tuple[float, float]:
    """Run the pipeline until all is done; give back both processes' CPU and wall seconds."""
    finished = threading.Event()

    def tell(beat: Heartbeat) -> None:
        if beat.done >= total:
            finished.set()

    pipeline = Pipeline(
        TimedBackend(backend, clock),  # type: ignore[arg-type]  # the ports a worker calls
        Timed(classifier, clock, {"classify": "ask it"}),
        "w-bench",
        limits=limits,
        on_heartbeat=tell,
    )

    def stop_when_done() -> None:
        finished.wait()
        pipeline.stop()

    threading.Thread(target=stop_when_done, daemon=True).start()
    confined = psutil.Process(classifier.pid)
    began, began_confined = time.process_time(), cpu_s(confined)
    began_wall = time.monotonic()
    pipeline.run()
    clock.seconds["confined process"] = cpu_s(confined) - began_confined
    own_s = time.process_time() - began
    return own_s + clock.seconds["confined process"], time.monotonic() - began_wall


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def opened(kind: str, *, inline: bool) -> Iterator[Backend]:
    """A fresh deployment: in a folder, or as SQS and S3 on an emulator on this machine."""
    if kind == "aws":
        with running_ministack() as url:
            yield from _on_aws(url)
        return
    max_body_bytes = 1_048_576 if inline else MAX_BODY_BYTES
    with tempfile.TemporaryDirectory(prefix="iraas-bench-") as home:
        backend = LocalBackend(Path(home), "bench", max_body_bytes=max_body_bytes)
        yield backend
        backend.close()


def _on_aws(url: str) -> Iterator[Backend]:
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    backend = AwsBackend("bench", "us-east-1", endpoint_url=url)
    session, names = backend.session, backend.names
    for queue in (names.dead_letters, names.requests):
        session.sqs.create_queue(QueueName=queue, Attributes={"MaximumMessageSize": "1048576"})
    for bucket in (names.inputs_bucket, names.outputs_bucket):
        session.s3.create_bucket(Bucket=bucket(session.account(), session.region))
    yield backend
    backend.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure where a worker's CPU time goes.")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--backend", choices=("local", "aws"), default="local")
    parser.add_argument("--inline", action="store_true", help="local: images inside messages")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cache_dir = Path(platformdirs.user_cache_dir("iraas"))
    kind = "small" if options.megapixels is None else f"{options.megapixels:g}mp"
    images = cache_dir / f"benchmark-{kind}-{options.count}"
    make_dataset(images, options.count, options.megapixels)
    cache = os.environ.get("IRAAS_CACHE")
    bundle = ensure_bundle(DEFAULT_MODEL, Path(cache) if cache else cache_dir / "bundles")
    clock = CpuClock()
    run_alone(bundle, images, clock)
    with (
        opened(options.backend, inline=options.inline) as backend,
        closing(ConfinedClassifier(bundle, ImageLimits())) as classifier,
    ):
        classifier.wait_until_ready()
        total = fill(backend, images, clock)
        limits = AWS_LIMITS if options.backend == "aws" else LOCAL_LIMITS
        spent_s, wall_s = work_off(backend, classifier, total, clock, limits)
    report = {name: round(1000 * value / total, 3) for name, value in clock.seconds.items()}
    report["everything"] = round(1000 * spent_s / total, 3)
    model = report["model alone"]
    report["overhead"] = round(report["everything"] - model, 3)
    report["share of the limit"] = round(model / report["everything"], 4)
    report["images a second (one process)"] = round(total / wall_s, 2)
    if options.json:
        print(json.dumps(report))
        return
    print(f"CPU-ms an image, over {total} images:")
    for name, value in report.items():
        print(f"{name:32} {value:8.3f}")


if __name__ == "__main__":
    main()
