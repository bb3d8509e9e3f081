"""`iraas results`, `iraas jobs` and `iraas retry`."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from tests.functional.cli.deployment import Deployment, finish
from tests.unit.core.test_outcomes import FIELDS


@pytest.fixture(scope="module", autouse=True)
def lost(
    tmp_path_factory: pytest.TempPathFactory, bundle_path: Path, photo: Path
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A job whose only message is lost, and a command that follows it. It is started before the
    other tests, for it takes a while until it gives up.
    """
    deployment = Deployment(tmp_path_factory.mktemp("lost"), bundle_path)
    deployment.add_images("a.jpg", source=photo)
    lease = deployment.lease()
    assert lease.hold()
    deployment.run("submit", "a.jpg", "--no-wait")
    with closing(deployment.open()) as backend:
        (message,) = backend.requests.receive(1, lease_s=600.0)
        backend.requests.delete([message.receipt])
    job = deployment.job_id()
    yield job, deployment.start("results", job, "--follow")
    lease.release()
    assert deployment.stop() == []


def test_results_are_printed_in_the_order_of_the_job(finished: Deployment) -> None:
    job = finished.job
    values = finished.json("results", job, expect=3)
    assert [list(value) for value in values] == [FIELDS] * 5
    assert [value["request_id"] for value in values] == [f"{job}-{n:08d}" for n in range(5)]
    assert sorted(value["label"] or "" for value in values) == [
        "",
        "bison",
        "espresso",
        "koala",
        "koala",
    ]


def test_only_the_failures(finished: Deployment) -> None:
    (value,) = finished.json("results", finished.job, "--failed", expect=3)
    assert (value["name"], value["status"]) == ("broken.jpg", "failed")
    assert value["reason"]
    done = finished.run("results", finished.job, "--failed", expect=3)
    assert done.stdout == f"broken.jpg\tfailed\t{value['reason']}\n"


def test_a_job_id_may_be_typed_in_capitals(finished: Deployment) -> None:
    finished.run("results", finished.job.upper(), expect=3)


def test_following_a_job_that_is_done_ends_at_once(finished: Deployment) -> None:
    done = finished.run("results", finished.job, "--follow", expect=3)
    assert len(done.stdout.splitlines()) == 5


def test_missing_results_overwrite_no_file(finished: Deployment) -> None:
    kept = finished.folder / "kept.csv"
    kept.write_text("precious")
    finished.run("results", "01kb3v9x4q0000000000000000", "--save", "kept.csv", expect=1)
    assert kept.read_text() == "precious"


def test_jobs_are_listed(finished: Deployment) -> None:
    (job,) = finished.json("jobs")
    assert list(job) == [
        "job_id", "created_at", "total", "sealed", "sources", "cancelled", "done",
    ]  # fmt: skip
    assert (job["total"], job["done"], job["sources"], job["sealed"]) == (5, 5, ["images"], True)
    lines = finished.run("jobs").stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].split()[0] == job["job_id"]
    assert lines[1].split()[-3:] == ["5", "5", "images"]


def test_a_long_list_of_sources_does_not_wrap_piped_lines(deployment: Deployment) -> None:
    names = [f"{'x' * 30}-[{number}].jpg" for number in range(5)]
    for name in names:
        (deployment.folder / name).touch()
    deployment.run("submit", *names, "--no-wait", expect=3)
    lines = deployment.run("jobs", COLUMNS="40").stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(deployment.job_id())


def test_a_deployment_without_jobs_has_none(deployment: Deployment) -> None:
    assert deployment.json("jobs") == []
    assert deployment.json("status")[0]["done"] == 0


def test_failed_images_are_sent_again(deployment: Deployment, photo: Path) -> None:
    deployment.add_images("a.jpg", "b.jpg", source=photo)
    (deployment.folder / "b.jpg").write_text("not yet an image")
    deployment.run("submit", "a.jpg", "b.jpg", expect=3)
    job = deployment.job_id()
    before = {one["name"]: one for one in deployment.json("results", job, expect=3)}

    deployment.add_images("b.jpg", source=photo)
    done = deployment.run("retry", job, "--json")

    assert "1 failed image to try again" in done.stderr
    (value,) = map(json.loads, done.stdout.splitlines())
    assert (value["name"], value["status"]) == ("b.jpg", "ok")
    assert value["request_id"] == before["b.jpg"]["request_id"]
    assert deployment.json("results", job) == [before["a.jpg"], value]
    again = deployment.run("retry", job)
    assert again.stderr.startswith("0 failed images to try again\n")
    assert again.stdout == ""


@pytest.mark.parametrize("size", [(300, 300), (1600, 1600)], ids=["inside", "by key"])
def test_a_retry_classifies_and_stores_the_repaired_file(
    deployment: Deployment, photo: Path, size: tuple[int, int]
) -> None:
    mended = deployment.folder / "a.jpg"
    with Image.open(photo) as image:
        image.resize(size).save(mended, quality=95)
    whole = mended.read_bytes()
    mended.write_bytes(whole[: len(whole) * 2 // 3])
    deployment.run("submit", "a.jpg", expect=3)
    mended.write_bytes(whole)

    (value,) = deployment.json("retry", deployment.job_id())

    assert value["status"] == "ok"
    (kept,) = (deployment.home / "iraas" / "inputs").rglob("*.jpg")
    assert kept.read_bytes() == whole


def test_results_of_an_unfinished_job_exit_with_5(deployment: Deployment, photo: Path) -> None:
    deployment.add_images("a.jpg", source=photo)
    lease = deployment.lease()
    assert lease.hold()
    try:
        deployment.run("submit", "a.jpg", "--no-wait")
        job = deployment.job_id()
        done = deployment.run("results", job, expect=5)
        assert "0 labelled, 0 failed, 1 not done yet" in done.stderr
        deployment.run("results", job, "--timeout", "3", expect=2)
    finally:
        lease.release()


def test_an_image_whose_file_is_gone_is_retried_from_the_input_store(
    deployment: Deployment, photo: Path
) -> None:
    (deployment.folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and then nothing of use")
    deployment.run("submit", "broken.jpg", expect=3)
    (deployment.folder / "broken.jpg").unlink()
    (value,) = deployment.json("retry", deployment.job_id(), expect=3)
    assert value["status"] == "failed"
    assert value["attempts"] >= 1
    assert "cannot be read: No such file" not in value["reason"]


def test_following_stops_after_its_timeout(deployment: Deployment, photo: Path) -> None:
    deployment.add_images("a.jpg", source=photo)
    lease = deployment.lease()
    assert lease.hold()
    try:
        deployment.run("submit", "a.jpg", "--no-wait")
        follower = deployment.start(
            "results", deployment.job_id(), "--follow", "--timeout", "1", "--json"
        )
        done = finish(follower)
    finally:
        lease.release()
    assert done.returncode == 5
    assert done.stdout == ""
    assert "not done within 1 s" in done.stderr


def test_following_gives_up_on_lost_images(lost: tuple[str, subprocess.Popen[str]]) -> None:
    job, follower = lost
    done = finish(follower)
    assert done.returncode == 5
    assert "1 image not sent, or lost on the way" in done.stderr
    assert f"iraas submit --resume {job}" in done.stderr
