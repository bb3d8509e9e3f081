"""The command: its output and files, refused options, and exit codes."""

import asyncio
import csv
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.functional.cli.deployment import Deployment, finish
from tests.functional.cli.terminal import CTRL_C
from tests.functional.loadgen.fake_tier import Handler, Outcomes, fake_tier
from tests.waiting import PATIENCE_S, wait_until

STATUS = {"queue": {"visible": 4, "in_flight": 1, "delayed": 0}, "workers": [{"state": "running"}]}


@pytest.fixture
def images(deployment: Deployment, photo: Path) -> Deployment:
    """A deployment with two images beside it and what they should be labelled."""
    deployment.add_images("images/koala.jpg", "images/other.jpg", source=photo)
    (deployment.folder / "labels.csv").write_text("file,label\nkoala.jpg,cat\nother.jpg,dog\n")
    return deployment


def tier_of(*, delay_s: float = 0.0, fails: bool = False) -> Handler:
    outcomes = Outcomes("cat")

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/api/v1/status":
            return web.json_response(STATUS)
        await asyncio.sleep(delay_s)
        if fails:
            return web.json_response({"detail": "away"}, status=503)
        return outcomes(request.query["name"])

    return handle


def test_the_result_is_a_table_and_a_histogram(images: Deployment) -> None:
    with fake_tier(tier_of()) as tier:
        done = images.run("loadgen", tier.url, "images", "-n", "40", "--labels", "labels.csv")

    table = dict(re.findall(r"^(\S[\w/ -]*?) {2,}([\d.]+)", done.stdout, re.MULTILINE))
    assert (table["sent"], table["succeeded"], table["failed"]) == ("40", "40", "0")
    assert (table["right"], table["wrong"]) == ("20", "20")
    assert {"total time", "images/s", "p50", "p90", "p95", "p99", "max"} <= set(table)
    assert {"first result", "most workers", "worker-seconds"} <= set(table)
    assert "█" in done.stdout
    assert done.stderr == ""


def test_json_is_one_object_on_stdout(images: Deployment) -> None:
    with fake_tier(tier_of(delay_s=0.02)) as tier:
        (result,) = images.json("loadgen", tier.url, "images", "-n", "20", "-c", "5")

    assert (result["sent"], result["succeeded"], result["right"]) == (20, 20, None)
    assert result["interrupted"] is False
    assert 0.02 <= result["latencies"]["p50"] <= result["latencies"]["max"] <= result["total_s"]
    assert sum(one["count"] for one in result["histogram"]) == 20
    assert result["samples"][0] == {
        "at_s": 0.0, "waiting": 4, "in_flight": 1, "workers": 1, "working": 1,
    }  # fmt: skip


@pytest.mark.parametrize("file", ["run.csv", "run.jsonl"])
def test_every_request_is_saved(images: Deployment, file: str) -> None:
    with fake_tier(tier_of()) as tier:
        images.run(
            "loadgen", tier.url, "images", "-n", "9", "--labels", "labels.csv", "--save", file
        )

    text = (images.folder / file).read_text()
    rows: list[dict[str, Any]] = (
        [json.loads(line) for line in text.splitlines()]
        if file.endswith(".jsonl")
        else list(csv.DictReader(text.splitlines()))
    )
    assert sorted(int(row["number"]) for row in rows) == list(range(9))
    assert {(row["name"], row["label"], str(row["right"])) for row in rows} == {
        ("koala.jpg", "cat", "True"),
        ("other.jpg", "cat", "False"),
    }
    assert all(float(row["latency_s"]) > 0 for row in rows)


def test_the_run_is_drawn(images: Deployment) -> None:
    with fake_tier(tier_of()) as tier:
        done = images.run("loadgen", tier.url, "images", "-n", "4", "--chart", "run.svg")

    svg = (images.folder / "run.svg").read_text()
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "waiting: 4 at most" in svg
    assert "Drew queue and workers to run.svg." in done.stderr


def test_a_server_without_a_status_is_named(images: Deployment) -> None:
    """Remove the settings of the tests, so that no deployment is configured."""
    outcomes = Outcomes()

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/api/v1/status":
            return web.Response(status=404)
        return outcomes(request.query["name"])

    images.environment = {
        name: value for name, value in images.environment.items() if name != "IRAAS_HOME"
    }
    with fake_tier(handle) as tier:
        done = images.run("loadgen", tier.url, "images", "-n", "2", "--chart", "run.svg")

    assert "Queue and workers cannot be observed" in done.stderr
    assert "run.svg is not drawn" in done.stderr
    assert "cannot be observed from here" in done.stdout
    assert not (images.folder / "run.svg").exists()


def test_the_named_deployment_is_watched_if_the_server_has_no_status(
    images: Deployment,
) -> None:
    outcomes = Outcomes()

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/api/v1/status":
            return web.Response(status=404)
        return outcomes(request.query["name"])

    with fake_tier(handle) as tier:
        (result,) = images.json("loadgen", tier.url, "images", "-n", "2")

    assert result["fleet"] == {"most_workers": 0, "worker_seconds": 0.0}


def test_failures_exit_with_3(images: Deployment) -> None:
    with fake_tier(tier_of(fails=True)) as tier:
        done = images.run("loadgen", tier.url, "images", "-n", "3", expect=3)

    assert re.search(r"server error +3 +503: away", done.stdout)


def test_the_token_comes_from_the_environment_and_is_never_shown(images: Deployment) -> None:
    with fake_tier(tier_of(fails=True)) as tier:
        done = images.run(
            "loadgen", tier.url, "images", "-n", "1", "-v", expect=3, IRAAS_TOKEN="s3cret"
        )

    assert {bearer for _, _, bearer, _ in tier.requests} == {"Bearer s3cret"}
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["images"], "'images' is not the address of a web tier"),
        (["--queue", "http://127.0.0.1:1", "images"], "--queue takes no address"),
        (["http://127.0.0.1:1"], "name images to send"),
        (["http://127.0.0.1:1", "gone"], "gone does not exist"),
        (["http://u:p@127.0.0.1", "images"], "is not the address of a web tier"),
        (["http://127.0.0.1:1", "images", "--labels", "gone.csv"], "gone.csv cannot be read"),
        (["http://127.0.0.1:1", "images", "--save", "run.txt"], "neither in .csv nor in .jsonl"),
        (["http://127.0.0.1:1", "images", "--chart", "run.png"], "does not end in .svg"),
        (["http://127.0.0.1:1", "images", "--chart", "gone/run.svg"], "cannot be written"),
        (["http://127.0.0.1:1", "images", "--rate", "0"], "--rate"),
    ],
)
def test_invalid_options_are_refused_before_any_load(
    images: Deployment, arguments: list[str], complaint: str
) -> None:
    done = images.run("loadgen", *arguments, expect=2)

    assert complaint in done.stderr
    assert done.stdout == ""


def test_labels_for_other_images_are_refused(images: Deployment) -> None:
    (images.folder / "labels.csv").write_text("file,label\nzebra.jpg,zebra\n")

    done = images.run("loadgen", "http://h", "images", "--labels", "labels.csv", expect=2)

    assert "names none of the images" in done.stderr


def test_a_refused_connection_is_a_failure_with_a_hint(images: Deployment) -> None:
    done = images.run("loadgen", "http://127.0.0.1:1", "images", expect=1)

    assert "no server responds at http://127.0.0.1:1" in done.stderr
    assert "Is the web tier running?" in done.stderr


def test_a_wrong_token_exits_with_4_and_names_the_setting(images: Deployment) -> None:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": "this server wants a token"}, status=401)

    with fake_tier(refuse) as tier:
        done = images.run("loadgen", tier.url, "images", expect=4, IRAAS_TOKEN="wrong")

    assert "rejects this token" in done.stderr
    assert "Set IRAAS_TOKEN" in done.stderr
    assert tier.posts == 0


def test_a_server_that_dies_ends_the_run_with_6_and_prints_the_results_so_far(
    images: Deployment,
) -> None:
    with fake_tier(tier_of(delay_s=0.02)) as tier:
        process = images.start(
            "loadgen", tier.url, "images", "--duration", "600", "--give-up", "0.5", "--json",
            "--chart", "run.svg",
        )  # fmt: skip
        wait_until(lambda: tier.posts > 10)
    done = finish(process)

    assert done.returncode == 6
    assert re.search(
        r"the server has not answered for \d\.\d s: 127\.0\.0\.1:\d+ cannot be reached", done.stderr
    )
    result = json.loads(done.stdout)
    assert result["silence"]["for_s"] >= 0.5
    assert result["succeeded"] > 0
    assert result["interrupted"] is False
    assert (images.folder / "run.svg").exists()


def test_without_the_package_for_http_the_extra_is_named(images: Deployment) -> None:
    program = (
        "import sys; sys.modules['aiohttp'] = None; from iraas.cli.app import main; "
        "sys.argv[1:] = ['loadgen', 'http://127.0.0.1:1', 'images']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        cwd=images.folder,
        env=images.environment,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode == 4
    assert "pip install '.[loadgen]'" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_prints_the_results_so_far(
    images: Deployment, number: signal.Signals
) -> None:
    with fake_tier(tier_of(delay_s=0.05)) as tier:
        process = images.start(
            "loadgen", tier.url, "images", "--duration", "60", "-c", "2", "--json"
        )
        wait_until(lambda: tier.posts > 10)
        process.send_signal(number)
        done = finish(process)

    assert done.returncode == 130
    result = json.loads(done.stdout)
    assert result["interrupted"] is True
    assert result["succeeded"] >= 8
    assert 0 <= result["unfinished"] <= 2
    assert result["sent"] == result["succeeded"] + result["unfinished"]


def test_ctrl_c_on_a_terminal_shows_progress_before_and_the_table_after(
    images: Deployment,
) -> None:
    with fake_tier(tier_of(delay_s=0.05)) as tier:
        terminal = images.terminal("loadgen", tier.url, "images", "--rate", "20", "-n", "10000")
        terminal.wait_for("images/s, 0 failed, 1 workers")
        terminal.press(CTRL_C)
        code = terminal.finish()

    assert code == 130
    assert "p99" in terminal.text


def test_the_queue_target_starts_workers_from_zero(images: Deployment) -> None:
    (images.folder / "labels.csv").write_text("file,label\nkoala.jpg,koala\nother.jpg,koala\n")

    done = images.run(
        "loadgen", "--queue", "images", "-n", "12", "-c", "6", "--labels", "labels.csv",
        "--chart", "run.svg", "--watch-after", "30", "--json",
    )  # fmt: skip

    result = json.loads(done.stdout)
    assert (result["right"], result["wrong"], result["failed"]) == (12, 0, 0)
    assert result["fleet"]["most_workers"] == 1
    assert result["samples"][0]["workers"] == 0
    assert (result["samples"][-1]["waiting"], result["samples"][-1]["in_flight"]) == (0, 0)
    assert result["samples"][-1]["workers"] == 0
    (job,) = images.json("jobs")
    assert (job["total"], job["done"]) == (12, 12)


@pytest.mark.acceptance
def test_the_web_tier_itself_answers_every_request_right(images: Deployment) -> None:
    """From cold: no worker runs when the load begins."""
    (images.folder / "labels.csv").write_text("file,label\nkoala.jpg,koala\nother.jpg,koala\n")
    server = images.start("serve-web", "--port", "0")
    assert server.stderr is not None
    found = re.search(r"http://127\.0\.0\.1:\d+", server.stderr.readline())
    assert found is not None

    for api in ("classify", "inputfile"):
        (result,) = images.json(
            "loadgen", found[0], "images", "--api", api, "-n", "40", "-c", "40",
            "--labels", "labels.csv",
        )  # fmt: skip
        assert (result["right"], result["wrong"], result["failed"]) == (40, 0, 0)
        assert result["fleet"]["most_workers"] == 1
    server.terminate()
    finish(server)
