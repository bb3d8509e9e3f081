"""The table of commands matches the commands' help, and each is loaded by its name."""

import inspect

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from iraas.cli.app import app
from iraas.cli.lazy_commands import PANELS, load_command

TEXTS = {name: text for panel in PANELS.values() for name, text in panel.items()}


@pytest.mark.parametrize("name", TEXTS)
def test_the_table_has_the_first_paragraph_of_the_commands_help(name: str) -> None:
    command = load_command(name)
    assert command.name == name
    first = inspect.cleandoc(command.help).split("\n\n")[0]
    assert " ".join(first.split()) == TEXTS[name]


def test_each_module_of_a_command_is_in_the_table() -> None:
    group = get_command(app)
    context = group.make_context("iraas", ["jobs"])
    assert group.list_commands(context) == list(TEXTS)  # type: ignore[attr-defined]


def test_a_command_that_does_not_exist_is_a_usage_error_that_suggests_one() -> None:
    done = CliRunner().invoke(app, ["submti", "a.jpg"])
    assert done.exit_code == 2
    assert "submit" in done.output


def test_options_of_the_root_reach_the_command() -> None:
    done = CliRunner().invoke(
        app, ["--config", "none", "--deployment", "blue", "config", "show", "--json"]
    )
    assert done.exit_code == 0
    assert '"deployment": {"value": "blue", "source": "flag"}' in done.stdout
