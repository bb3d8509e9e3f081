"""The output on a terminal."""

from pathlib import Path

import pytest

from tests.functional.cli.conftest import HOSTILE_NAME
from tests.functional.cli.deployment import Deployment
from tests.functional.cli.terminal import CTRL_C

STEERING_OF_THE_NAME = (b"\x1b]0;owned", b"\x1b[31m[bold]", b"\x07", "\u202e".encode())


def test_a_job_shows_a_bar_and_then_a_table(deployment: Deployment, photo: Path) -> None:
    names = [f"images/{index:02d}.jpg" for index in range(12)]
    deployment.add_images(*names, source=photo)
    terminal = deployment.terminal("submit", "images")
    terminal.wait_for("/12")
    assert terminal.finish() == 0
    for part in ("images/s", "workers", "0 failed"):
        assert part in terminal.text
    table = terminal.text[terminal.text.rindex("name") :]
    assert table.split()[:3] == ["name", "label", "score"]
    rows = [line.split() for line in table.splitlines()[1:13]]
    assert [row[0] for row in rows] == [f"{index:02d}.jpg" for index in range(12)]
    assert all(row[1] == "koala" and row[2].endswith("%") for row in rows)
    assert "12 labelled, 0 failed" in table


def test_results_are_a_table_with_failures_and_their_reasons(finished: Deployment) -> None:
    terminal = finished.terminal("results", finished.job)
    assert terminal.finish() == 3
    assert "broken.jpg" in terminal.text
    assert "failed:" in terminal.text
    assert "4 labelled, 1 failed" in terminal.text


@pytest.mark.parametrize(
    "arguments",
    [
        ["results"],
        ["results", "--failed"],
        ["jobs"],
        ["submit", "--dry-run", "images"],
    ],
    ids=str,
)
def test_a_name_never_steers_the_terminal_and_is_no_markup(
    finished: Deployment, arguments: list[str]
) -> None:
    job = [finished.job] if arguments[0] == "results" else []
    terminal = finished.terminal(*arguments, *job, COLUMNS="200")
    terminal.finish()
    assert not any(one in terminal.written for one in STEERING_OF_THE_NAME)
    if "images" in arguments or arguments == ["results"]:
        assert "\\x1b[31m[bold]red[/bold] :cat: \\x202egpj.jpg" in terminal.text


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit", HOSTILE_NAME],
        ["submit", "--files-from", HOSTILE_NAME],
        ["submit", "images", "--save", HOSTILE_NAME],
        ["submit", "--resume", HOSTILE_NAME],
        ["results", HOSTILE_NAME],
        ["status", "--deployment", HOSTILE_NAME],
        ["status", "--profile", HOSTILE_NAME],
        ["worker", "--model", HOSTILE_NAME],
    ],
    ids=lambda arguments: " ".join(arguments[:-1]),
)
def test_an_error_never_steers_the_terminal(finished: Deployment, arguments: list[str]) -> None:
    """It is written in the same way on a terminal and off it."""
    done = finished.run(*arguments, expect=None)
    assert done.returncode in {2, 4}
    said = (done.stdout + done.stderr).encode(errors="surrogateescape")
    assert not any(one in said for one in STEERING_OF_THE_NAME)
    assert "iraas: " in done.stderr


def test_a_usage_error_never_steers_the_terminal(finished: Deployment) -> None:
    terminal = finished.terminal("submit", HOSTILE_NAME)
    assert terminal.finish() == 2
    assert not any(one in terminal.written for one in STEERING_OF_THE_NAME)
    assert "iraas: " in terminal.text


def test_the_name_of_a_saved_file_is_escaped(finished: Deployment) -> None:
    name = HOSTILE_NAME.replace("/", "").removesuffix(".jpg") + ".csv"
    terminal = finished.terminal("results", finished.job, "--save", name)
    assert terminal.finish() == 3
    assert not any(one in terminal.written for one in STEERING_OF_THE_NAME)
    assert (finished.folder / name).is_file()


def test_json_on_a_terminal_is_json_without_a_table(finished: Deployment) -> None:
    terminal = finished.terminal("results", finished.job, "--json")
    assert terminal.finish() == 3
    assert terminal.text.count('"request_id"') == 5
    assert "\x1b" not in terminal.written.decode()
    assert not any(one in terminal.written for one in STEERING_OF_THE_NAME)


def test_status_can_be_watched_until_ctrl_c(finished: Deployment) -> None:
    terminal = finished.terminal("status", "--watch")
    terminal.wait_for("last decision")
    seen = len(terminal.written)
    terminal.wait_for("request queue")
    terminal.press(CTRL_C)
    assert terminal.finish() == 130
    assert len(terminal.written) > seen
    for part in ("0 waiting, 0 in flight, 0 delayed", "dead letters", "images/s", "controller"):
        assert part in terminal.text


def test_status_and_config_are_tables(finished: Deployment) -> None:
    status = finished.terminal("status")
    assert status.finish() == 0
    assert "5 done, 1 of them failed" in status.text
    config = finished.terminal("config", "show")
    assert config.finish() == 0
    assert "environment IRAAS_HOME" in config.text


def test_no_color_disables_colours(finished: Deployment) -> None:
    terminal = finished.terminal("results", finished.job, NO_COLOR="1")
    terminal.finish()
    assert b"\x1b[31m" not in terminal.written
