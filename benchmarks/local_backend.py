"""What of the limit reaches the user: the local backend against the bare loop, in one run.

``python benchmarks/local_backend.py [--count 500] [--rounds 3] [--megapixels 12] [--json]``

Each round measures, one after the other: the bare loop (the limit); the steady state, that is the
same number of classifier processes working through a queue filled before; and the whole
``iraas submit`` from no worker at all to the last outcome. The figures to quote are the medians of
the ratios, for the machine's own speed drifts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
from bare_loop import measure_rate
from dataset import make_dataset

from iraas.backends.local.backend import LocalBackend
from iraas.client.job_sender import JobSender
from iraas.client.outcome_ledger import OutcomeLedger
from iraas.client.sender import Sender
from iraas.client.sources import find_images
from iraas.core.jobs import Job
from iraas.core.outcomes import Outcome
from iraas.core.settings import MAX_FLEET
from iraas.jobs.store import create_job, iter_manifest, iter_outcomes, stored_indexes
from iraas.models.zoo import DEFAULT_MODEL, ensure_bundle

PATIENCE_S = 300.0
MAX_IMAGE_BYTES = 50_000_000
EDGE = 0.1
"""The share at either end of a run that is no steady state: processes start, processes end."""


def wait_for_outcomes(backend: LocalBackend, job: Job) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while sum(1 for _ in stored_indexes(backend, job)) < job.total:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{job.total} outcomes did not come within {PATIENCE_S} s")
        time.sleep(0.2)


def wait_for_no_worker(backend: LocalBackend) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while backend.fleet.instances():
        if time.monotonic() > deadline:
            raise TimeoutError(f"workers did not leave within {PATIENCE_S} s")
        time.sleep(0.1)


def steady_rate(done: Iterator[Outcome]) -> float:
    times = sorted(one.completed_at for one in done)
    first, last = int(len(times) * EDGE), int(len(times) * (1 - EDGE)) - 1
    return (last - first) / (times[last] - times[first])


def measure_steady(home: Path, images: Path, processes: int, environment: dict[str, str]) -> float:
    """Images a second of workers on a full queue, its ends left out."""
    backend = LocalBackend(
        home,
        "steady",
        capacity=processes,
        worker_command=[sys.executable, "-m", "iraas", "worker", "--deployment", "steady"],
        worker_environment=environment | {"IRAAS_PROCESSES": "1", "IRAAS_IDLE_TIMEOUT_S": "0"},
    )
    try:
        job = create_job(
            backend, find_images([str(images)]), sources=(str(images),), clock=time.time
        )
        sender = Sender(backend, job, reply_to="", clock=time.time)
        ledger = OutcomeLedger(job.total)
        dispatch = JobSender(
            backend, sender, ledger, window=job.total, max_image_bytes=MAX_IMAGE_BYTES
        )
        dispatch.send_all(iter_manifest(backend, job))
        backend.fleet.launch(processes)
        wait_for_outcomes(backend, job)
        return steady_rate(iter_outcomes(backend, job))
    finally:
        wait_for_no_worker(backend)
        backend.close()


def measure_submit(images: Path, environment: dict[str, str]) -> float:
    """Seconds of a whole `iraas submit`, from no worker to the last outcome."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "iraas", "submit", str(images)],
        env=environment,
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    wall_s = time.monotonic() - began
    wait_for_no_worker(LocalBackend(Path(environment["IRAAS_HOME"]), "iraas", capacity=MAX_FLEET))
    return wall_s


def measure_round(
    images: Path, paths: list[Path], processes: int, bundle: Path, scratch: Path
) -> dict[str, float]:
    environment = {
        **os.environ,
        "IRAAS_HOME": str(scratch),
        "IRAAS_CACHE": str(bundle.parent),
        "IRAAS_MAX_WORKERS": str(processes),
        "IRAAS_IDLE_TIMEOUT_S": "0",
    }
    limit = measure_rate(bundle, paths, processes)["images_per_s"]
    steady = measure_steady(scratch, images, processes, environment)
    submit_s = measure_submit(images, environment)
    return {
        "limit_images_per_s": limit,
        "steady_images_per_s": round(steady, 2),
        "submit_s": round(submit_s, 3),
        "steady_share": round(steady / limit, 4),
        "submit_share": round(len(paths) / submit_s / limit, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the local backend against the limit.")
    cache_dir = Path(platformdirs.user_cache_dir("iraas"))
    parser.add_argument("--count", type=int, help="images (500; 60 with --megapixels)")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    count = options.count or (500 if options.megapixels is None else 60)
    kind = "small" if options.megapixels is None else f"{options.megapixels:g}mp"
    images = cache_dir / f"benchmark-{kind}-{count}"
    paths = make_dataset(images, count, options.megapixels)
    cache = os.environ.get("IRAAS_CACHE")
    bundle = ensure_bundle(DEFAULT_MODEL, Path(cache) if cache else cache_dir / "bundles")
    rounds = []
    # Nothing is deleted between rounds: for minutes after thousands of files are, ext4 takes a
    # millisecond of CPU time for each new one.
    with tempfile.TemporaryDirectory(prefix="iraas-bench-") as scratch:
        for number in range(options.rounds):
            home = Path(scratch, str(number))
            rounds.append(measure_round(images, paths, options.processes, bundle, home))
            print(rounds[-1], file=sys.stderr)
    report: dict[str, Any] = {
        name: statistics.median(one[name] for one in rounds) for name in rounds[0]
    }
    print(
        json.dumps({"images": count, "rounds": rounds, "median": report})
        if options.json
        else f"medians of {len(rounds)} rounds with {count} images: {report}"
    )


if __name__ == "__main__":
    main()
