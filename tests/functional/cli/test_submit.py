"""`iraas submit`: sent images, printed output, saved files."""

import csv
import json
import os
import signal
from pathlib import Path

import pytest

from iraas.core.control_chars import csv_text
from tests.functional.cli.deployment import Deployment, finish
from tests.unit.core.test_outcomes import FIELDS
from tests.waiting import PATIENCE_S


@pytest.fixture
def folder(deployment: Deployment, photo: Path) -> Path:
    names = ("a.jpg", "b.jpg", "sub/c.jpg", "sub/deep/d.jpg", "other/e.jpg")
    deployment.add_images(*names, source=photo)
    (deployment.folder / "sub" / "notes.txt").write_text("no image")
    return deployment.folder


@pytest.mark.parametrize(
    ("arguments", "given", "names"),
    [
        (["a.jpg"], "", ["a.jpg"]),
        (["sub"], "", ["c.jpg", "deep/d.jpg"]),
        (["*.jpg"], "", ["a.jpg", "b.jpg"]),
        (["**/[cd].jpg"], "", ["sub/c.jpg", "sub/deep/d.jpg"]),
        (["-"], "b.jpg\nother\n", ["b.jpg", "other/e.jpg"]),
        (["--files-from", "list.txt"], "", ["sub/c.jpg", "gone.jpg"]),
        (["--files-from", "-"], "b.jpg\n", ["b.jpg"]),
        (["a.jpg", "-", "other"], "b.jpg", ["a.jpg", "other/e.jpg", "b.jpg"]),
    ],
    ids=str,
)
def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(
    deployment: Deployment, folder: Path, arguments: list[str], given: str, names: list[str]
) -> None:
    (folder / "list.txt").write_text("sub/c.jpg\n\ngone.jpg\n")
    done = deployment.run("submit", "--dry-run", *arguments, given=given)
    assert sorted(done.stdout.splitlines()) == sorted(names)
    assert f"{len(names)} images" in done.stderr
    assert "deployment iraas (local)" in done.stderr
    assert not deployment.home.exists()


def test_a_dry_run_in_json(deployment: Deployment, folder: Path, photo: Path) -> None:
    assert deployment.json("submit", "--dry-run", "sub") == [
        {
            "images": 2,
            "bytes": 2 * photo.stat().st_size,
            "deployment": "iraas",
            "backend": "local",
        }
    ]


def test_submit_works_without_setup_and_leaves_no_process(
    deployment: Deployment, folder: Path
) -> None:
    """Files, folders, patterns, standard input and a list, in one job."""
    (folder / "list.txt").write_text("sub/c.jpg\n")
    done = deployment.run(
        "submit", "a.jpg", "other", "b.*", "-", "--files-from", "list.txt", given="sub/deep\n"
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert sorted(name for name, _, _ in lines) == [
        "a.jpg",
        "b.jpg",
        "other/e.jpg",
        "sub/c.jpg",
        "sub/deep/d.jpg",
    ]
    assert {label for _, label, _ in lines} == {"koala"}
    assert all(0.5 < float(score) <= 1 for _, _, score in lines)
    assert done.stderr == "5 labelled, 0 failed\n"
    deployment.wait_until_gone()


def test_json_has_exactly_the_promised_fields_a_line_per_outcome(
    deployment: Deployment, folder: Path
) -> None:
    (folder / "other" / "text.jpg").write_text("I am not an image")
    (folder / "other" / "empty.jpg").touch()
    (folder / "other" / "truncated.jpg").write_bytes((folder / "a.jpg").read_bytes()[:3000])

    values = deployment.json("submit", "other", "other/gone.jpg", expect=2)
    assert values == []
    values = deployment.json("submit", "other", expect=3)

    assert len(values) == 4
    for value in values:
        assert list(value) == FIELDS
        assert value["request_id"].startswith(value["job_id"])
        assert value["submitted_at"] <= value["completed_at"]
    by_name = {value["name"]: value for value in values}
    good = by_name["e.jpg"]
    assert (good["status"], good["label"], good["reason"]) == ("ok", "koala", None)
    assert len(good["top"]) == 5
    assert good["top"][0] == {"label": good["label"], "score": good["score"]}
    assert good["model"].startswith("efficientnet-lite0@")
    assert (good["worker"][:2], good["attempts"]) == ("w-", 1)
    for name, reason in {
        "text.jpg": "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF image",
        "empty.jpg": "the file is empty",
    }.items():
        bad = by_name[name]
        assert (bad["status"], bad["label"], bad["score"], bad["top"]) == ("failed", None, None, [])
        assert (bad["reason"], bad["worker"], bad["attempts"]) == (reason, "submit", 0)
    assert by_name["truncated.jpg"]["status"] == "failed"
    assert by_name["truncated.jpg"]["reason"]


def test_outcomes_are_saved_as_csv_and_as_jsonl(finished: Deployment) -> None:
    job = finished.job
    finished.run("results", job, "--save", "out.csv", expect=3)
    finished.run("results", job, "--save", "out.jsonl", expect=3)
    with (finished.folder / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = (finished.folder / "out.jsonl").read_text("utf-8").splitlines()
    values = [json.loads(line) for line in lines]
    assert [list(value) for value in values] == [FIELDS] * 5
    assert sorted(rows[0]) == sorted(FIELDS)
    for row, value in zip(rows, values, strict=True):
        assert row["name"] == csv_text(value["name"])  # a file for people
        assert row["status"] == value["status"]
        assert row["label"] == (value["label"] or "")
        assert row["reason"] == (value["reason"] or "")
        assert row["score"] == ("" if value["score"] is None else str(value["score"]))


def test_submit_saves_what_it_prints(deployment: Deployment, folder: Path) -> None:
    done = deployment.run("submit", "a.jpg", "--save", "out.jsonl", "--json")
    assert (folder / "out.jsonl").read_text("utf-8") == done.stdout
    assert done.stderr == "1 labelled, 0 failed; saved to out.jsonl\n"


def test_no_wait_prints_the_job_and_exits_while_the_job_completes(
    deployment: Deployment, folder: Path
) -> None:
    done = finish(deployment.start("submit", "sub", "--no-wait"))
    assert done.returncode == 0
    (job,) = done.stdout.splitlines()
    assert job == deployment.job_id()
    assert f"iraas results {job} --follow" in done.stderr

    followed = deployment.run("results", job, "--follow")
    assert sorted(followed.stdout.splitlines()) == sorted(
        deployment.run("results", job).stdout.splitlines()
    )
    assert len(followed.stdout.splitlines()) == 2
    deployment.wait_until_gone()


def test_two_concurrent_submits_get_their_own_outcomes(deployment: Deployment, photo: Path) -> None:
    for folder in ("one", "two"):
        deployment.add_images(*(f"{folder}/{folder}-{n}.jpg" for n in range(10)), source=photo)
    running = {folder: deployment.start("submit", folder, "--json") for folder in ("one", "two")}
    for folder, process in running.items():
        done = finish(process)
        assert done.returncode == 0
        values = [json.loads(line) for line in done.stdout.splitlines()]
        assert sorted(value["name"] for value in values) == [f"{folder}-{n}.jpg" for n in range(10)]
        assert len({value["job_id"] for value in values}) == 1
    assert len(deployment.json("jobs")) == 2


def test_a_submit_that_was_killed_is_resumed_with_every_outcome_once(
    deployment: Deployment, photo: Path
) -> None:
    deployment.add_images(*(f"many/{index:02d}.jpg" for index in range(30)), source=photo)
    first = deployment.start("submit", "many", "--json")
    assert first.stdout is not None
    assert json.loads(first.stdout.readline())["label"] == "koala"
    first.send_signal(signal.SIGKILL)
    finish(first)

    job = deployment.job_id()
    values = deployment.json("submit", "--resume", job)

    assert sorted(value["name"] for value in values) == [f"{index:02d}.jpg" for index in range(30)]
    assert {value["job_id"] for value in values} == {job}
    assert len(deployment.json("results", job)) == 30
    assert [one["job_id"] for one in deployment.json("jobs")] == [job]


def test_a_dry_run_of_resuming_says_what_is_missing(deployment: Deployment, folder: Path) -> None:
    lease = deployment.lease()
    assert lease.hold()
    try:
        deployment.run("submit", "sub", "a.jpg", "--no-wait")
    finally:
        lease.release()
    (folder / "a.jpg").write_text("no image any more")
    job = deployment.job_id()
    assert deployment.json("submit", "--resume", job, "--dry-run")[0]["images"] == 3
    assert deployment.run("submit", "--resume", job, "--dry-run").stdout.splitlines() == [
        "sub/c.jpg",
        "sub/deep/d.jpg",
        "a.jpg",
    ]


def test_modules_beside_the_images_are_not_imported(deployment: Deployment, folder: Path) -> None:
    for module in ("queue", "json", "numpy", "PIL", "typing"):
        (folder / f"{module}.py").write_text("raise SystemExit('hijacked')")
    done = finish(deployment.start("submit", "a.jpg"))
    assert done.returncode == 0
    assert done.stdout.startswith("a.jpg\tkoala\t")


def test_files_with_undecodable_names_are_classified(deployment: Deployment, photo: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.jpg")
    deployment.add_images(odd, "line\nbreak.jpg", "-.jpg", source=photo)
    values = deployment.json("submit", odd, ".", "-", given=f"{odd}\n")
    assert sorted(value["name"] for value in values) == [
        "-.jpg",
        "caf\ufffd.jpg",
        "caf\ufffd.jpg",
        "caf\ufffd.jpg",
        "line\nbreak.jpg",
    ]
    assert {value["label"] for value in values} == {"koala"}
    (listed,) = deployment.json("jobs")
    assert listed["sources"] == ["caf\ufffd.jpg", ".", "-"]


def test_stdout_in_another_encoding_is_still_json(finished: Deployment) -> None:
    job = finished.job
    done = finish(finished.start("results", job, "--json", PYTHONIOENCODING="ascii"))
    assert done.returncode == 3
    assert done.stdout.isascii()
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == [
        one["name"] for one in finished.json("results", job, expect=3)
    ]


def test_a_closed_pipe_is_no_error(finished: Deployment) -> None:
    job = finished.job
    process = finished.start("results", job, "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    stderr = process.stderr.read()
    process.stderr.close()
    assert process.wait(PATIENCE_S) in {1, -signal.SIGPIPE}
    assert "Traceback" not in stderr
    assert "BrokenPipe" not in stderr


def test_without_a_terminal_stdout_has_only_data(finished: Deployment) -> None:
    done = finished.run("results", finished.job, expect=3)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [len(line) for line in lines] == [3] * 5
    assert {name: label for name, label, _ in lines if label != "failed"}["bison.jpg"] == "bison"
    assert done.stderr == "4 labelled, 1 failed\n"
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
