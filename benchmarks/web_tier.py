"""What of the limit reaches an HTTP client: ``POST /api/v1/classify`` against the bare loop.

``python benchmarks/web_tier.py [--count 500] [--in-flight 32] [--rounds 3] [--json]``

Each round measures, one after the other: the bare loop (the limit), and clients that keep so many
requests in flight until each image has its outcome, stored durably. Clients, web tier, queue and
workers share the machine's cores. Beside it: the time from the process's start to the first right
answer with no worker there, and the peak memory of the whole tree. The figures to quote are the
medians, for the machine's own speed drifts. On a machine that others use too, ``share_by_cpu`` is
the one to look at: the limit's CPU time an image by that of everything here together.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs
import psutil
from bare_loop import measure_rate
from dataset import make_dataset

from iraas.bootstrap import make_controller, open_backend
from iraas.cli.settings import resolve_settings
from iraas.models.zoo import DEFAULT_MODEL, ensure_bundle
from iraas.web.server import WebServer

HOST = "127.0.0.1"
PROCESSES = 2
WARM_UP = 40
SERVE = "serve"


class PeakMemory:
    """Samples the memory of a process and all below it: the sum of resident sets, and of
    proportional sets, which count a shared page once.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.rss_mb = self.pss_mb = 0.0
        self._thread.start()

    def children(self) -> list[psutil.Process]:
        """The processes below."""
        return self._root.children(recursive=True)

    def stop(self) -> None:
        """Sample no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            try:
                pids = [self._root.pid, *(one.pid for one in self.children())]
                sets = [resident_sets_mb(pid) for pid in pids]
            except (psutil.Error, OSError):
                continue
            self.rss_mb = max(self.rss_mb, sum(rss for rss, _ in sets))
            self.pss_mb = max(self.pss_mb, sum(pss for _, pss in sets))


def resident_sets_mb(pid: int) -> tuple[float, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:3]}
    return sizes["Rss"] / 1000, sizes["Pss"] / 1000


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return status, await reader.readexactly(length)


async def send_share(port: int, images: deque[Path], latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    while images:
        data = images.popleft().read_bytes()
        began = time.perf_counter()
        head = (
            f"POST /api/v1/classify HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: image/jpeg\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        await writer.drain()
        status, body = await read_answer(reader)
        assert status == 200, body
        assert b'"status": "ok"' in body
        latencies.append(time.perf_counter() - began)
    writer.close()


async def send_all(port: int, paths: list[Path], in_flight: int) -> dict[str, Any]:
    latencies: list[float] = []
    images = deque(paths)
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(send_share(port, images, latencies) for _ in range(in_flight)))
    wall_s = time.perf_counter() - began
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * share)] for share in (0.5, 0.99))
    return {
        "images_per_s": round(len(paths) / wall_s, 2),
        "p50_ms": round(1000 * p50, 1),
        "p99_ms": round(1000 * p99, 1),
        "p99_by_p50": round(p99 / p50, 3),
        "client_cpu_ms_per_image": round(1000 * (time.process_time() - cpu) / len(paths), 3),
    }


@contextmanager
def serving(home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A web tier and a controller in one process, as `iraas up` runs them; no worker yet."""
    environment = {**os.environ, "IRAAS_HOME": str(home), "IRAAS_MAX_WORKERS": str(PROCESSES)}
    command = [sys.executable, __file__, SERVE]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)


def serve() -> None:
    settings = resolve_settings({}, None).settings
    stop = threading.Event()
    with open_backend(settings) as backend:
        controller = make_controller(settings, backend)
        thread = threading.Thread(target=controller.run, args=(stop,))
        thread.start()
        server = WebServer(backend, deployment=settings.deployment, port=0)
        server.run(lambda url: print(url.rpartition(":")[2], flush=True))
        stop.set()
        thread.join()
        backend.fleet.terminate([one.instance_id for one in backend.fleet.instances()])
        while backend.fleet.instances():
            time.sleep(0.05)


def process_cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def measure_start(image: Path, home: Path) -> float:
    """Seconds from the start of the process to the first right answer."""
    began = time.perf_counter()
    with serving(home) as (_, port):
        asyncio.run(send_all(port, [image], 1))
        return time.perf_counter() - began


def measure_round(bundle: Path, paths: list[Path], in_flight: int, home: Path) -> dict[str, Any]:
    limit = measure_rate(bundle, paths, PROCESSES)
    with serving(home) as (process, port):
        asyncio.run(send_all(port, paths[:WARM_UP], in_flight))
        memory = PeakMemory(process.pid)
        tree = [process.pid, *(one.pid for one in memory.children())]
        before = [process_cpu_s(pid) for pid in tree]
        found = asyncio.run(send_all(port, paths, in_flight))
        web, *others = (process_cpu_s(pid) - cpu for pid, cpu in zip(tree, before, strict=True))
        memory.stop()
    client_ms = found["client_cpu_ms_per_image"]
    all_ms = 1000 * (web + sum(others)) / len(paths) + client_ms
    return {
        "limit_images_per_s": limit["images_per_s"],
        "share_of_limit": round(found["images_per_s"] / limit["images_per_s"], 3),
        **found,
        "limit_cpu_ms_per_image": limit["cpu_ms_per_image"],
        "all_cpu_ms_per_image": round(all_ms, 3),
        "share_by_cpu": round(limit["cpu_ms_per_image"] / all_ms, 3),
        "web_cpu_ms_per_image": round(1000 * web / len(paths), 3),
        "peak_rss_mb": round(memory.rss_mb),
        "peak_pss_mb": round(memory.pss_mb),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the web tier against the bare loop.")
    cache = Path(platformdirs.user_cache_dir("iraas"))
    parser.add_argument("--images", type=Path, default=cache / "benchmark-images")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    bundle = ensure_bundle(DEFAULT_MODEL, Path(os.environ.get("IRAAS_CACHE", cache / "bundles")))
    paths = make_dataset(options.images, options.count)
    # Nothing is deleted before the end: for minutes ext4 makes new files more slowly after that.
    with tempfile.TemporaryDirectory(prefix="iraas-benchmark-") as root:
        homes = [Path(root) / str(number) for number in range(2 * options.rounds)]
        starts = [measure_start(paths[0], home) for home in homes[: options.rounds]]
        rounds = [
            measure_round(bundle, paths, options.in_flight, home)
            for home in homes[options.rounds :]
        ]
    report = {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]}
    report["start_to_first_answer_s"] = round(statistics.median(starts), 2)
    if options.json:
        print(json.dumps({"median": report, "rounds": rounds}))
        return
    for one in rounds:
        print(one)
    print("median:", report)


if __name__ == "__main__":
    if sys.argv[1:] == [SERVE]:
        serve()
    else:
        main()
