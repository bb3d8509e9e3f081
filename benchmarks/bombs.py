"""What 200 hostile images cost a deployment, and honest requests beside them.

``python benchmarks/bombs.py [--direct] [--json]``

Without ``--direct`` it starts ``iraas up`` on a scratch home and sends each bomb to
``POST /api/v1/classify``, while honest requests go on beside it. For each bomb it reports the CPU
time of the whole process tree beyond what the honest requests take, and the memory of the largest
process beyond what it had before the first bomb. With ``--direct`` each bomb is decoded, for
classifying and for its thumbnail, in a process of its own. The bars: 2 s of CPU time, 300 MB, and
3 s for the 99th percentile of the honest requests.
"""

import argparse
import http.client
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from bomb_files import Bomb, bombs

from iraas.errors import ImageError
from iraas.models.bundle import Preprocessing
from iraas.models.preprocessing import prepare_pixels
from iraas.web.thumbnails.process import make_thumbnail

HOST = "127.0.0.1"
IMAGES = Path(__file__).parents[1] / "examples" / "images"
TIMEOUT_S = 120.0
SAMPLE_S = 0.02
HONEST_PAUSE_S = 0.25
BASELINE_S = 10.0
CPU_BAR_S, MEMORY_BAR_MB, HONEST_BAR_S = 2.0, 300.0, 3.0
PREPROCESSING = Preprocessing(size=224, crop_padding=32, resample="bicubic")


@dataclass(frozen=True, slots=True)
class Measured:
    """One bomb: seconds of CPU time, megabytes at the peak, and what became of it."""

    name: str
    cpu_s: float
    memory_mb: float
    outcome: str


def outcome_of(data: bytes) -> str:
    try:
        prepare_pixels(data, PREPROCESSING)
    except ImageError as error:
        outcome = str(error)
    else:
        outcome = "classified"
    make_thumbnail(data)
    return outcome


def measure_directly(bomb: Bomb, warm_up: bytes) -> Measured:
    """Decode a bomb in a forked process; for this, the parent must be small and single-threaded."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        outcome_of(warm_up)
        before_mb, before_s = peak_mb(os.getpid()), time.process_time()
        outcome = outcome_of(bomb.data)
        spent_s = time.process_time() - before_s
        found = Measured(bomb.name, spent_s, peak_mb(os.getpid()) - before_mb, outcome)
        os.write(writer, json.dumps(asdict(found)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not answer:
        return Measured(bomb.name, used.ru_utime, 0.0, f"its process ended with {status}")
    return Measured(**json.loads(answer))


def peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def deployment(home: Path, port: int) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "iraas", "up", "--port", str(port)]
    environment = {**os.environ, "IRAAS_HOME": str(home), "IRAAS_IDLE_TIMEOUT_S": "600"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=home)
        try:
            wait_until_it_answers(port, process)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(timeout=TIMEOUT_S)
            teardown = [sys.executable, "-m", "iraas", "teardown", "--yes"]
            subprocess.run(teardown, env=environment, stdout=log, stderr=log, cwd=home, check=True)


def wait_until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            classify(port, next(iter(honest_images())))
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("iraas up does not answer")


def honest_images() -> list[bytes]:
    return [path.read_bytes() for path in sorted(IMAGES.glob("*.jpg"))]


def classify(port: int, data: bytes) -> str:
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        headers = {"Content-Type": "application/octet-stream"}
        connection.request("POST", "/api/v1/classify", data, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    reason = answer.get("reason") or answer.get("detail") or answer.get("title") or ""
    return f"{response.status} {answer.get('status', '')} {reason}".strip()


class Tree:
    """The CPU time of a process tree, ended processes included, and its largest process."""

    def __init__(self, root: psutil.Process) -> None:
        self._root = root
        self._seen: dict[tuple[int, float], float] = {}
        self._stop = threading.Event()
        self.memory_mb = 0.0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    @property
    def cpu_s(self) -> float:
        """Of all processes seen so far."""
        return sum(self._seen.copy().values())

    def sample(self) -> None:
        """Look at every process now."""
        for one in [self._root, *self._root.children(recursive=True)]:
            try:
                times = one.cpu_times()
                self._seen[one.pid, one.create_time()] = times.user + times.system
                self.memory_mb = max(self.memory_mb, one.memory_info().rss / 1e6)
            except psutil.Error:
                continue

    def stop(self) -> None:
        """Sample no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.sample()


class HonestRequests:
    """Good images, sent one after another at a steady rate until the end."""

    def __init__(self, port: int) -> None:
        self.latencies_s: list[float] = []
        self.wrong: list[str] = []
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        images = honest_images()
        while not self._stop.wait(HONEST_PAUSE_S):
            began = time.monotonic()
            answer = classify(self._port, images[len(self.latencies_s) % len(images)])
            self.latencies_s.append(time.monotonic() - began)
            if not answer.startswith("200 ok"):
                self.wrong.append(answer)


def measure_deployment() -> tuple[list[Measured], HonestRequests]:
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="iraas-bombs-") as home,
        deployment(Path(home), port) as root,
    ):
        tree, honest = Tree(root), HonestRequests(port)
        try:
            began, cpu_s = time.monotonic(), tree.cpu_s
            time.sleep(BASELINE_S)
            rate = (tree.cpu_s - cpu_s) / (time.monotonic() - began)
            model_mb = tree.memory_mb
            found = [measure_bomb(bomb, port, tree, rate, model_mb) for bomb in bombs()]
        finally:
            honest.stop()
            tree.stop()
    return found, honest


def measure_bomb(bomb: Bomb, port: int, tree: Tree, rate: float, model_mb: float) -> Measured:
    tree.sample()
    tree.memory_mb = 0.0
    began, cpu_s = time.monotonic(), tree.cpu_s
    outcome = classify(port, bomb.data)
    tree.sample()
    spent_s = tree.cpu_s - cpu_s - rate * (time.monotonic() - began)
    return Measured(bomb.name, spent_s, tree.memory_mb - model_mb, outcome)


def report(found: list[Measured], honest: HonestRequests | None) -> dict[str, object]:
    by_cpu = max(found, key=lambda one: one.cpu_s)
    by_memory = max(found, key=lambda one: one.memory_mb)
    figures: dict[str, object] = {
        "bombs": len(found),
        "most_cpu": asdict(by_cpu),
        "most_memory": asdict(by_memory),
        "within_bars": by_cpu.cpu_s <= CPU_BAR_S and by_memory.memory_mb <= MEMORY_BAR_MB,
    }
    if honest and len(honest.latencies_s) > 1:
        cuts = statistics.quantiles(honest.latencies_s, n=100)
        figures |= {
            "honest": len(honest.latencies_s),
            "honest_p50_s": cuts[49],
            "honest_p99_s": cuts[98],
            "honest_within_bar": cuts[98] < HONEST_BAR_S,
            "honest_wrong": honest.wrong,
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what hostile images cost.")
    parser.add_argument("--direct", action="store_true", help="decode here, without a deployment")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    honest = None
    if options.direct:
        warm_up = honest_images()[0]
        found = [measure_directly(bomb, warm_up) for bomb in bombs()]
    else:
        found, honest = measure_deployment()
    figures = report(found, honest)
    if options.json:
        print(json.dumps({"bombs": [asdict(one) for one in found], **figures}))
        return
    for one in found:
        print(f"{one.cpu_s:7.3f} s {one.memory_mb:7.1f} MB  {one.name}: {one.outcome}")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
