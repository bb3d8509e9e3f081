"""Ctrl-C: the first drains and says how to resume, the second exits at once."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from iraas.client.job_sender import SEND_IMAGES
from iraas.client.submission import SubmissionConfig
from tests.functional.cli.deployment import Deployment, finish
from tests.functional.cli.terminal import CTRL_C
from tests.waiting import wait_until

SENT = SubmissionConfig().window // SEND_IMAGES * SEND_IMAGES
"""The maximum number of images in flight; they are sent in batches."""

RESUME = re.compile(r"(\d[\d,]*) of (\d[\d,]*) images are done\. Resume with: (iraas submit .*)")


@pytest.fixture
def no_workers(deployment: Deployment) -> Iterator[None]:
    """Hold the controller's lease, so that no worker is started."""
    lease = deployment.lease()
    assert lease.hold()
    yield
    lease.release()


def queued(deployment: Deployment) -> int:
    backend = deployment.open()
    try:
        return backend.requests.depth().total
    finally:
        backend.close()


@pytest.mark.usefixtures("no_workers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_ctrl_c_waits_for_sent_images_and_the_second_exits(
    deployment: Deployment, photo: Path, number: signal.Signals
) -> None:
    deployment.add_images("a.jpg", "b.jpg", source=photo)
    process = deployment.start("submit", "a.jpg", "b.jpg")
    wait_until(lambda: queued(deployment) == 2, "the sending")
    process.send_signal(number)
    assert process.stderr is not None
    assert process.stderr.readline() == (
        "Waiting for what was sent; Ctrl-C again leaves at once.\n"
    )
    assert process.poll() is None
    process.send_signal(number)
    done = finish(process)
    assert done.returncode == 130
    job = deployment.job_id()
    assert done.stderr == f"0 of 2 images are done. Resume with: iraas submit --resume {job}\n"


@pytest.mark.usefixtures("no_workers")
def test_after_draining_it_says_how_to_resume_and_resuming_sends_only_the_rest(
    deployment: Deployment, photo: Path
) -> None:
    """More images than may be in flight; they are broken, so that they take no time."""
    rest = SEND_IMAGES
    deployment.add_images("images/last.jpg", source=photo)
    for index in range(SENT + rest - 1):
        (deployment.folder / "images" / f"{index:04d}.jpg").write_bytes(b"\xff\xd8\xff nothing")
    process = deployment.start("submit", "images", "--save", "out.jsonl")
    wait_until(lambda: queued(deployment) == SENT, "a full window")
    process.send_signal(signal.SIGINT)
    deployment.run("worker")

    done = finish(process)

    assert done.returncode == 130
    match = RESUME.search(done.stderr)
    assert match is not None
    assert match[1] == f"{SENT:,}"
    assert len(done.stdout.splitlines()) == SENT
    assert len((deployment.folder / "out.jsonl").read_text().splitlines()) == SENT

    _, *resume = match[3].split()
    left = deployment.run(*resume, "--dry-run").stdout.splitlines()
    assert len(left) == rest
    assert left[-1] == "last.jpg"
    deployment.run(*resume, "--no-wait")
    assert queued(deployment) == rest


@pytest.mark.usefixtures("no_workers")
def test_ctrl_c_on_a_terminal(deployment: Deployment, photo: Path) -> None:
    deployment.add_images("a.jpg", source=photo)
    terminal = deployment.terminal("submit", "a.jpg")
    wait_until(lambda: queued(deployment) == 1, "the sending")
    terminal.press(CTRL_C)
    terminal.wait_for("Waiting for what was sent; Ctrl-C again leaves at once.")
    terminal.press(CTRL_C)
    assert terminal.finish() == 130
    assert RESUME.search(terminal.text)


def test_ctrl_c_after_sending_everything_exits_with_success_once_done(
    deployment: Deployment, photo: Path
) -> None:
    count = SEND_IMAGES - 1  # they are sent all at once
    deployment.add_images(*(f"images/{index}.jpg" for index in range(count)), source=photo)
    process = deployment.start("submit", "images")
    wait_until(lambda: deployment.home.exists() and queued(deployment) > 0, "the sending")
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.returncode == 0
    assert f"{count} labelled, 0 failed" in done.stderr


@pytest.mark.usefixtures("no_workers")
def test_ctrl_c_while_following_results(deployment: Deployment, photo: Path) -> None:
    deployment.add_images("a.jpg", source=photo)
    deployment.run("submit", "a.jpg", "--no-wait")
    terminal = deployment.terminal("results", deployment.job_id(), "--follow")
    terminal.wait_for("0/1")
    terminal.press(CTRL_C)
    assert terminal.finish() == 130
