"""The limit: read, decode, preprocess, infer in single-threaded processes, with nothing around.

``python benchmarks/bare_loop.py [--images DIR] [--count 500] [--processes 2] [--megapixels 12]
[--json]``. It runs the product's own classifier; what queue, stores and worker reach is to be
compared with this figure from the same run, on the same machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from dataset import make_dataset

from iraas.decoding.limits import DEFAULT_LIMITS
from iraas.models.loading import load_classifier
from iraas.models.onnx_runtime import OnnxClassifier
from iraas.models.preprocessing import decode_image, fit_pixels
from iraas.models.zoo import DEFAULT_MODEL, ensure_bundle

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

WARM_UP = 10
STAGES = ("read", "decode", "preprocess", "inference")


@dataclass(frozen=True, slots=True)
class Lap:
    """One process's run: when it began and ended (monotonic seconds), and what it used."""

    began: float
    ended: float
    cpu_s: float
    peak_rss_mb: float


def run_lap(bundle: Path, paths: list[Path], barrier: Barrier, laps: Queue[Lap]) -> None:
    classifier = load_classifier(bundle)
    for path in paths[:WARM_UP]:
        classifier.infer([classifier.prepare(path.read_bytes())])
    barrier.wait()
    began, cpu = time.monotonic(), time.process_time()
    for path in paths:
        classifier.infer([classifier.prepare(path.read_bytes())])
    ended, cpu_s = time.monotonic(), time.process_time() - cpu
    laps.put(Lap(began, ended, cpu_s, _peak_rss_mb()))


def _peak_rss_mb() -> float:
    # Not getrusage: a new process inherits its parent's peak there.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure_rate(bundle: Path, paths: list[Path], processes: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    barrier, laps = context.Barrier(processes), context.Queue()
    shares = [paths[index::processes] for index in range(processes)]
    children = [
        context.Process(target=run_lap, args=(bundle, share, barrier, laps)) for share in shares
    ]
    for child in children:
        child.start()
    done: list[Lap] = [laps.get(timeout=600) for _ in children]
    for child in children:
        child.join(timeout=60)
    wall_s = max(lap.ended for lap in done) - min(lap.began for lap in done)
    return {
        "processes": processes,
        "images": len(paths),
        "wall_s": round(wall_s, 3),
        "images_per_s": round(len(paths) / wall_s, 2),
        "cpu_ms_per_image": round(1000 * sum(lap.cpu_s for lap in done) / len(paths), 3),
        "peak_rss_mb": round(max(lap.peak_rss_mb for lap in done), 1),
    }


def measure_stages(classifier: OnnxClassifier, paths: list[Path]) -> dict[str, float]:
    """CPU-ms an image by stage, one thread."""
    totals = dict.fromkeys(STAGES, 0.0)
    for index, path in enumerate(paths[:WARM_UP] + paths):
        marks = _one_image(classifier, path)
        if index >= WARM_UP:
            for stage, (start, end) in zip(STAGES, pairwise(marks), strict=True):
                totals[stage] += end - start
    return {stage: round(1000 * total / len(paths), 3) for stage, total in totals.items()}


def _one_image(classifier: OnnxClassifier, path: Path) -> list[float]:
    preprocessing = classifier.preprocessing
    marks = [time.thread_time()]
    data = path.read_bytes()
    marks.append(time.thread_time())
    image = decode_image(data, preprocessing, DEFAULT_LIMITS)
    marks.append(time.thread_time())
    pixels = fit_pixels(image, preprocessing)
    marks.append(time.thread_time())
    classifier.infer([pixels])
    marks.append(time.thread_time())
    return marks


def measure(paths: list[Path], processes: int, bundle: Path) -> dict[str, Any]:
    began = time.monotonic()
    classifier = load_classifier(bundle)
    classifier.infer([classifier.prepare(paths[0].read_bytes())])
    start_s = time.monotonic() - began
    rates = [measure_rate(bundle, paths, number) for number in sorted({1, processes})]
    return {
        "model": classifier.model_id,
        "images": len(paths),
        "mean_kb": round(sum(path.stat().st_size for path in paths) / len(paths) / 1000, 1),
        "load_and_first_s": round(start_s, 3),
        "cpu_ms_by_stage": measure_stages(classifier, paths),
        "rates": rates,
        "limit_images_per_s": rates[-1]["images_per_s"],
        "cores": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure this machine's limit.")
    cache_dir = Path(platformdirs.user_cache_dir("iraas"))
    parser.add_argument("--images", type=Path, default=cache_dir / "benchmark-images")
    parser.add_argument("--count", type=int, help="images (500; 40 with --megapixels)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    count = options.count or (500 if options.megapixels is None else 40)
    paths = make_dataset(options.images, count, options.megapixels)
    cache = os.environ.get("IRAAS_CACHE")
    bundle = ensure_bundle(DEFAULT_MODEL, Path(cache) if cache else cache_dir / "bundles")
    report = measure(paths, options.processes, bundle)
    if options.json:
        print(json.dumps(report))
        return
    print(f"{report['model']}, {report['images']} images of {report['mean_kb']} kB on average")
    print(f"load and first image: {report['load_and_first_s']} s (imports not counted)")
    print(f"CPU-ms an image by stage: {report['cpu_ms_by_stage']}")
    for rate in report["rates"]:
        print(rate)


if __name__ == "__main__":
    main()
