"""Every image has exactly one outcome, whatever is killed or paused in between."""

import json
import random
import signal
import struct
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from iraas.core.ports import QueueDepth
from iraas.models.loading import load_classifier
from tests.acceptance.deployment import Deployment
from tests.acceptance.sample_images import Photo, make_images
from tests.waiting import wait_until

BROKEN = ("truncated.jpg", "text.jpg", "empty.jpg", "bomb.png", "killer.jpg")
ATTACKS = 30
PAUSE_S = 3.0
"""Longer than the leases of these tests."""


def make_broken_images(folder: Path, photo: Path) -> None:
    whole = photo.read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("this is not an image")
    (folder / "empty.jpg").touch()
    (folder / "bomb.png").write_bytes(png_bomb(13_000, 13_100))
    (folder / "killer.jpg").write_bytes(whole)


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of 170 megapixels in a few hundred kilobytes."""
    squeeze = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    data = b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def true_labels(folder: Path, bundle: Path) -> dict[str, str]:
    """The label that the model predicts for each image, without queue and stores."""
    classifier = load_classifier(bundle)
    said: dict[bytes, str] = {}
    for path in folder.iterdir():
        data = path.read_bytes()
        if path.name not in BROKEN and data not in said:
            said[data] = classifier.infer([classifier.prepare(data)])[0].label
    return {
        path.name: said[path.read_bytes()] for path in folder.iterdir() if path.name not in BROKEN
    }


class Chaos:
    """Kills and pauses the processes of a deployment at random moments."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self._deployment = deployment
        self.seed = seed
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self.attacks = 0

    def run(self) -> None:
        while not self._stop.wait(self._random.uniform(0.1, 0.5)) and self.attacks < ATTACKS:
            victims = [one for one in self._deployment.processes() if is_victim(one)]
            if victims:
                self._attack(self._random.choice(victims))

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _attack(self, victim: psutil.Process) -> None:
        self.attacks += 1
        with suppress(psutil.NoSuchProcess):
            if self._random.random() < 0.25:
                victim.send_signal(signal.SIGSTOP)
                threading.Timer(PAUSE_S, self._resume, [victim]).start()
            else:
                victim.kill()

    @staticmethod
    def _resume(victim: psutil.Process) -> None:
        with suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGCONT)


def is_victim(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        command = process.cmdline()
        return any(one in command for one in ("worker", "controller")) or (
            "iraas.cli.commands.classifier_process" in command
            or "iraas.models.confined_process" in command
        )
    return False


@contextmanager
def controller_kept_alive(deployment: Deployment, **environment: str) -> Iterator[None]:
    """Start the controller again whenever it is killed, as an init system would."""
    stop = threading.Event()

    def keep() -> None:
        while not stop.is_set():
            with deployment.start("controller", **environment) as process:
                while process.poll() is None and not stop.wait(0.1):
                    pass
                process.kill()

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def everything_done(deployment: Deployment, total: int) -> Callable[[], bool]:
    return lambda: len(deployment.stored("outputs")) >= total


def workers_gone(deployment: Deployment) -> Callable[[], bool]:
    return lambda: not [one for one in deployment.processes() if is_victim(one)]


def send(deployment: Deployment, folder: Path) -> str:
    """Send a folder with files that are refused, and leave; return the job's id. The test runs
    the controller itself.
    """
    with deployment.start("controller") as held:
        wait_until(lambda: deployment.status().controller, "a controller", every_s=0.1)
        job = deployment.run("submit", str(folder), "--no-wait", expect=3).stdout.strip()
        held.kill()
    return job


def outcomes_of(deployment: Deployment, job: str, expect: int) -> dict[str, dict[str, object]]:
    lines = deployment.run("results", job, "--json", expect=expect).stdout.splitlines()
    outcomes = [json.loads(line) for line in lines]
    by_name = {str(one["name"]): one for one in outcomes}
    assert len(by_name) == len(outcomes)
    return by_name


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_300_images_end_in_300_outcomes_while_workers_and_controller_are_killed_and_paused(
    deployment: Deployment, tmp_path: Path, photos: list[Photo], bundle_path: Path
) -> None:
    folder = tmp_path / "images"
    make_images(folder, photos, 295)
    make_broken_images(folder, photos[0][0])
    expected = true_labels(folder, bundle_path)
    deployment.environment["IRAAS_TEST_FAULTS"] = "decode:killer.jpg"
    chaos = Chaos(deployment, seed=random.randrange(10**6))
    sys.stdout.write(f"seed {chaos.seed}\n")  # shown if the test fails, wherever

    job = send(deployment, folder)
    with controller_kept_alive(deployment):
        with chaos.going_on():
            wait_until(everything_done(deployment, 300), "300 outcomes", every_s=0.1)
        wait_until(workers_gone_but_controller(deployment), "all workers gone", every_s=0.1)

    assert chaos.attacks > 5, f"too quiet to show anything (seed {chaos.seed})"
    outcomes = outcomes_of(deployment, job, expect=3)
    assert len(outcomes) == len(deployment.stored("outputs")) == 300
    failures = {name: one["reason"] for name, one in outcomes.items() if one["status"] == "failed"}
    assert set(failures) == set(BROKEN), failures
    assert all(failures.values())
    labels = {name: one["label"] for name, one in outcomes.items() if name not in BROKEN}
    assert labels == expected
    status = deployment.status()
    assert status.queue == QueueDepth(0, 0, 0)
    assert status.workers == ()
    wait_until(workers_gone(deployment), "nothing left running", every_s=0.1)


def workers_gone_but_controller(deployment: Deployment) -> Callable[[], bool]:
    def gone() -> bool:
        status = deployment.status()
        return not status.workers and status.queue.total == 0

    return gone


@pytest.mark.acceptance
@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", ["input-stored", "outcome-stored", "replied", "deleted"])
def test_a_crash_between_any_two_steps_loses_and_duplicates_nothing(
    deployment: Deployment, tmp_path: Path, photos: list[Photo], point: str
) -> None:
    folder = tmp_path / "images"
    make_images(folder, photos, 20)
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    deployment.environment["IRAAS_TEST_FAULTS"] = f"{point}:7.jpg@{deaths}"
    done = deployment.run("submit", str(folder), "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(str(one["name"]) for one in lines) == sorted(one.name for one in folder.iterdir())
    assert {one["status"] for one in lines} == {"ok"}
    assert len(deployment.stored("outputs")) == len(deployment.stored("inputs")) == 20
    wait_until(workers_gone(deployment), "all workers gone", every_s=0.1)
    logs = "".join(one.read_text() for one in (deployment.folder / "fleet/logs").iterdir())
    assert logs.count("ended with status -9") == len(list(deaths.iterdir())) == 2
