"""Help, version, completion."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from iraas import __version__
from iraas.cli.commands.serve_web import serve_web
from iraas.cli.commands.up import up
from iraas.cli.lazy_commands import PANELS
from tests.functional.cli.deployment import Deployment


def commands() -> list[list[str]]:
    """All commands, sub-commands included."""
    names = [name for panel in PANELS.values() for name in panel]
    return [["config", "show"] if name == "config" else [name] for name in names]


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return Deployment(tmp_path_factory.mktemp("help"), Path("/nowhere/bundle"))


def test_every_command_of_the_issue_is_there() -> None:
    assert {tuple(one) for one in commands()} >= {
        ("submit",), ("results",), ("jobs",), ("retry",), ("status",), ("worker",),
        ("controller",), ("up",), ("provision",), ("teardown",), ("config", "show"), ("doctor",),
    }  # fmt: skip


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_the_help_of_each_command_is_plain_and_has_an_example_and_the_settings(
    anywhere: Deployment, command: list[str]
) -> None:
    done = anywhere.run(*command, "--help")
    assert "Example" in done.stdout
    assert f"iraas {' '.join(command)}" in done.stdout
    for option in ("--deployment", "--backend", "--home", "--profile", "--verbose"):
        assert option in done.stdout
    assert "IRAAS_DEPLOYMENT" in done.stdout
    assert done.stderr == ""
    assert_plain(done.stdout)


def assert_plain(text: str) -> None:
    """Neither is a type beside a flag nor are braces around an argument."""
    assert "<bool>" not in text
    assert "{" not in text


def test_help_shows_the_defaults_of_settings(anywhere: Deployment) -> None:
    text = " ".join(anywhere.run("worker", "--help", COLUMNS="200").stdout.split())
    assert "[IRAAS_IDLE_TIMEOUT_S, default 10]" in text
    assert "[IRAAS_LEASE_S, default 30]" in text
    text = " ".join(anywhere.run("submit", "--help", COLUMNS="200").stdout.split())
    assert "[IRAAS_MAX_IMAGE_BYTES, default 50_000_000]" in text


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]], ids=str)
def test_the_help_lists_the_commands_and_says_how_to_start(
    anywhere: Deployment, arguments: list[str]
) -> None:
    done = anywhere.run(*arguments, expect=0 if arguments else 2)
    text = done.stdout + done.stderr
    assert_plain(text)
    for command in commands():
        assert command[0] in text
    assert "iraas submit ./images" in text


def test_help_needs_no_home_and_touches_nothing(anywhere: Deployment) -> None:
    anywhere.run("submit", "--help")
    assert not anywhere.home.exists()


def test_the_version(anywhere: Deployment) -> None:
    assert anywhere.run("--version").stdout == f"iraas {__version__}\n"


def test_python_m_iraas_runs_the_command(anywhere: Deployment) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "iraas", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"iraas {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(anywhere: Deployment, shell: str) -> None:
    assert "_IRAAS_COMPLETE" in anywhere.run("--show-completion", shell).stdout


def completed(deployment: Deployment, words: str) -> list[str]:
    """The completions that bash would offer at the end of a line."""
    count = str(len(words.split(" ")) - 1)
    return deployment.run(
        _IRAAS_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count
    ).stdout.split()


def test_completion_completes_commands_and_options(anywhere: Deployment) -> None:
    assert completed(anywhere, "iraas sub") == ["submit"]
    assert set(completed(anywhere, "iraas re")) == {"results", "retry"}
    assert "--dry-run" in completed(anywhere, "iraas submit --d")
    assert completed(anywhere, "iraas config ") == ["show"]


def test_completion_completes_backends_and_jobs(finished: Deployment) -> None:
    assert completed(finished, "iraas status --backend l") == ["local"]
    assert completed(finished, "iraas results ") == [finished.job]
    assert completed(finished, "iraas results --backend aws ") == []


def test_the_completion_script_is_valid_bash(anywhere: Deployment) -> None:
    script = anywhere.run("--show-completion", "bash").stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_up_has_the_options_of_the_web_tier() -> None:
    of_serving, of_up = (set(inspect.signature(one).parameters) for one in (serve_web, up))
    assert of_serving - of_up == {"controller"}
