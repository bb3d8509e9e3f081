"""Former names of settings: accepted everywhere, with a notice that gives the new name."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iraas.cli.app import app
from iraas.cli.settings import resolve_settings
from iraas.core.settings import RENAMED, Settings, variable
from tests.unit.core.test_settings import SAMPLES


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without settings."""
    for name in [one for one in os.environ if one.startswith("IRAAS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    monkeypatch.chdir(folder)
    return folder


def write(project: Path, text: str) -> str:
    path = project / "own.toml"
    path.write_text(f"[default]\n{text}\n")
    path.chmod(0o644)
    return str(path)


def expected(new: str) -> object:
    return getattr(resolve_settings({new: SAMPLES[new]}).settings, new)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_sets_the_setting_with_one_notice(
    old: str, new: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = expected(new)
    notices: list[str] = []
    file = write(project, f'{old} = "{SAMPLES[new]}"')

    by_flag = resolve_settings({old: SAMPLES[new]}, notify=notices.append)
    by_file = resolve_settings({}, None, file, notify=notices.append)
    monkeypatch.setenv(variable(old), SAMPLES[new])
    by_variable = resolve_settings({}, notify=notices.append)

    for found in (by_flag, by_file, by_variable):
        assert getattr(found.settings, new) == wanted != getattr(Settings, new)
    assert by_flag.sources[new] == "flag"
    assert by_file.sources[new] == f"{file} [default]"
    assert by_variable.sources[new] == f"environment {variable(old)}"
    dashed = {name: f"--{name.replace('_', '-')}" for name in (old, new)}
    assert notices == [
        f"{dashed[old]} is now called {dashed[new]}; the old name still works.",
        f"{old} in {file} [default] is now called {new}; the old name still works.",
        f"{variable(old)} is now called {variable(new)}; the old name still works.",
    ]


def test_the_new_name_wins_where_one_source_has_both(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(project, "grace_s = 1\nidle_timeout_s = 2")
    assert resolve_settings({}, None, file).settings.idle_timeout_s == 2
    monkeypatch.setenv("IRAAS_GRACE_S", "3")
    monkeypatch.setenv("IRAAS_IDLE_TIMEOUT_S", "4")
    assert resolve_settings({}, None, file).settings.idle_timeout_s == 4
    both = {"grace_s": "5", "idle_timeout_s": "6"}
    assert resolve_settings(both, None, file).settings.idle_timeout_s == 6


def test_a_source_of_higher_priority_wins_by_its_old_name_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IRAAS_IDLE_TIMEOUT_S", "4")
    assert resolve_settings({"grace_s": "5"}).settings.idle_timeout_s == 5


def test_an_old_name_gives_a_project_file_no_more_rights(project: Path) -> None:
    path = project / "iraas.toml"
    path.write_text("[default]\ngrace_s = 1\n")
    path.chmod(0o644)
    found = resolve_settings({})
    assert found.sources["idle_timeout_s"] == "default"
    assert found.ignored == ("idle_timeout_s",)


def test_the_old_option_is_hidden_and_names_the_new_one_on_stderr() -> None:
    done = CliRunner().invoke(app, ["config", "show", "--grace-s", "7", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["idle_timeout_s"] == {"value": 7.0, "source": "flag"}
    assert done.stderr == (
        "iraas: --grace-s is now called --idle-timeout-s; the old name still works.\n"
    )
    text = CliRunner().invoke(app, ["config", "show", "--help"]).stdout
    assert "--idle-timeout-s" in text
    assert "--grace-s" not in text
