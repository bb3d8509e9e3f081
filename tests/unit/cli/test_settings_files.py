"""The settings files: which are read, which are trusted, and which notices are printed."""

import os
import socket
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from iraas.cli.settings import resolve_settings
from iraas.cli.settings_files import MAX_FILE_BYTES, print_notice, user_file
from iraas.core.resolver import settings_environment
from iraas.core.settings import ResolvedSettings, Settings, is_secret, variable
from iraas.errors import ConfigurationError
from tests.unit.core.test_settings import SAMPLES

ANYBODYS = {
    "deployment",
    "max_workers",
    "images_per_worker",
    "lease_s",
    "max_attempts",
}
"""The settings that a project file may set: how images are processed, at the usual price."""


class SettingsFiles:
    """A working directory and a user's folder for configuration."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "iraas.toml"
        self.own = user_file()
        self.said: list[str] = []

    def write(self, path: Path, **values: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f'{name} = "{value}"\n' for name, value in values.items()]
        path.write_text("[default]\n" + "".join(lines))
        path.chmod(0o644)
        return path

    def resolve(self, config: Path | str | None = None, **flags: str) -> ResolvedSettings:
        self.said.clear()
        named = None if config is None else str(config)
        return resolve_settings(flags, None, named, notify=self.said.append)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsFiles:
    for name in [one for one in os.environ if one.startswith("IRAAS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user" / "config"))
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    monkeypatch.chdir(folder)
    return SettingsFiles(folder)


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file appear to belong to a user other than this one and root."""
    user = os.geteuid()
    if user == 0:
        os.chown(path, 4321, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_project_file_sets_only_how_images_are_processed(files: SettingsFiles, name: str) -> None:
    files.write(files.project, **{name: SAMPLES[name]})
    found = files.resolve()
    (said,) = files.said
    if name in ANYBODYS:
        assert found.sources[name] == "iraas.toml [default]"
        assert said == f"{files.project} sets {name}."
    else:
        assert found.sources[name] == "default"
        assert found.ignored == (name,)
        assert said.startswith(f"{files.project} may not set {name}: ")
        assert "--config iraas.toml" in said
        assert str(files.own) in said


@pytest.mark.parametrize("name", SAMPLES)
def test_a_named_file_and_the_users_own_set_everything(files: SettingsFiles, name: str) -> None:
    files.write(files.project, **{name: SAMPLES[name]})
    assert files.resolve("iraas.toml").sources[name] == "iraas.toml [default]"
    assert files.said == []
    files.project.unlink()
    files.write(files.own, **{name: SAMPLES[name]})
    assert files.resolve().sources[name] == f"{files.own} [default]"
    assert files.said == []


def test_notices_name_a_secret_without_its_value(files: SettingsFiles) -> None:
    files.write(files.project, token="sesame", webhook_secret="hush")
    files.resolve()
    assert "token, webhook_secret" in files.said[0]
    assert "sesame" not in files.said[0]
    assert "hush" not in files.said[0]


def test_the_project_file_overrides_the_users_own_where_it_may(files: SettingsFiles) -> None:
    files.write(files.own, max_workers="3", lease_s="60", home="/mine")
    files.write(files.project, max_workers="4", home="/theirs")
    found = files.resolve(idle_timeout_s="1")
    assert (found.settings.max_workers, found.settings.lease_s) == (4, 60.0)
    assert found.settings.home == Path("/mine")
    assert found.sources["home"] == f"{files.own} [default]"
    assert files.said[0] == f"{files.project} sets max_workers."
    assert files.said[1].startswith(f"{files.project} may not set home: ")


def test_a_named_file_is_the_only_one_that_is_read(files: SettingsFiles, tmp_path: Path) -> None:
    files.write(files.own, max_workers="3")
    files.write(files.project, max_workers="4", lease_s="70")
    named = files.write(tmp_path / "named.toml", idle_timeout_s="5")
    assert files.resolve(named).sources["idle_timeout_s"] == f"{named} [default]"
    assert files.resolve(named).settings.max_workers is None
    assert files.resolve("none").settings.max_workers is None


def test_the_environment_names_a_file_and_the_command_line_wins(
    files: SettingsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRAAS_CONFIG", str(files.write(tmp_path / "a.toml", max_workers="5")))
    assert files.resolve().settings.max_workers == 5
    other = files.write(tmp_path / "b.toml", max_workers="6")
    assert files.resolve(other).settings.max_workers == 6


def test_overridden_settings_give_no_notice(
    files: SettingsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(files.project, max_workers="4", backend="aws")
    monkeypatch.setenv("IRAAS_MAX_WORKERS", "2")
    assert files.resolve(backend="local").ignored == ()
    assert files.said == []


@pytest.mark.parametrize("mode", [0o646, 0o666])
def test_a_file_that_others_may_change_is_ignored_with_a_notice(
    files: SettingsFiles, mode: int
) -> None:
    files.write(files.project, max_workers="4").chmod(mode)
    assert files.resolve().settings.max_workers is None
    assert files.said == [f"{files.project} is ignored: others may write to it."]


def test_a_group_may_write_only_if_it_is_the_users_own(
    files: SettingsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(files.project, max_workers="4").chmod(0o664)
    monkeypatch.setattr("iraas.cli.settings_files._is_private_group", lambda _: True)
    assert files.resolve().settings.max_workers == 4
    monkeypatch.setattr("iraas.cli.settings_files._is_private_group", lambda _: False)
    assert files.resolve().settings.max_workers is None
    assert files.said == [f"{files.project} is ignored: a group may write to it."]


def test_a_file_of_another_user_is_ignored_with_a_notice(
    files: SettingsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_away(files.write(files.project, max_workers="4"), monkeypatch)
    assert files.resolve().settings.max_workers is None
    assert files.said == [f"{files.project} is ignored: it belongs to another user."]


def test_a_file_in_a_folder_that_others_may_write_is_ignored(
    files: SettingsFiles,
) -> None:
    files.write(files.project, max_workers="4")
    folder = files.project.parent
    folder.chmod(0o777)
    assert files.resolve().settings.max_workers is None
    assert files.said == [f"{files.project} is ignored: others may write to its folder {folder}."]
    folder.chmod(0o1777)
    assert files.resolve().settings.max_workers == 4


def test_a_named_or_own_file_that_others_may_change_is_an_error(files: SettingsFiles) -> None:
    for path, config in ((files.project, "iraas.toml"), (files.own, None)):
        files.write(path, max_workers="4").chmod(0o646)
        with pytest.raises(ConfigurationError, match="others may write to it") as caught:
            files.resolve(config)
        assert "chmod go-w" in caught.value.remedy


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)


def make_link(path: Path) -> None:
    target = path.with_name("elsewhere.toml")
    target.write_text("[default]\nmax_workers = 4\n")
    target.chmod(0o644)
    path.symlink_to(target)


def make_link_to_endless_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_huge(path: Path) -> None:
    path.write_text("[default]\n" + "#" * MAX_FILE_BYTES)
    path.chmod(0o644)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_pipe, "it is not a regular file"),
        (make_folder, "Is a directory"),
        (make_socket, "No such device or address"),
        (make_link, "it is a symbolic link"),
        (make_link_to_endless_zeros, "it is a symbolic link"),
        (make_huge, "it has more than 65,536 bytes"),
    ],
    ids=["pipe", "folder", "socket", "link", "link to zeros", "huge"],
)
def test_an_irregular_file_is_ignored_with_a_notice(
    files: SettingsFiles, make: Callable[[Path], None], said: str
) -> None:
    make(files.project)
    assert files.resolve().settings.max_workers is None
    assert files.said == [f"{files.project} is ignored: {said}."]


@pytest.mark.parametrize("make", [make_pipe, make_folder, make_huge, make_link_to_endless_zeros])
def test_a_named_irregular_file_is_an_error(
    files: SettingsFiles, make: Callable[[Path], None]
) -> None:
    make(files.project)
    with pytest.raises(ConfigurationError, match=r"iraas\.toml cannot be read"):
        files.resolve("iraas.toml")


def test_a_named_file_may_be_a_link(files: SettingsFiles) -> None:
    make_link(files.project)
    assert files.resolve("iraas.toml").settings.max_workers == 4


def test_a_named_file_that_is_not_there_is_an_error(files: SettingsFiles) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.toml cannot be read"):
        files.resolve("missing.toml")


def test_a_file_that_nests_without_end_is_an_error_and_no_crash(files: SettingsFiles) -> None:
    files.project.write_text("[default]\nmax_workers = " + "[" * 60_000)
    files.project.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"iraas\.toml cannot be read"):
        files.resolve()


def test_notices_cannot_steer_a_terminal(
    files: SettingsFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = files.project.parent / "\x1b[31mred"
    folder.mkdir()
    monkeypatch.chdir(folder)
    files.write(folder / "iraas.toml", max_workers="4")
    resolve_settings({}, notify=print_notice)
    said = capsys.readouterr().err
    assert "\\x1b[31mred" in said
    assert "\x1b" not in said


def test_a_process_that_a_command_starts_has_its_settings_and_reads_no_file(
    files: SettingsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRAAS_PROFILE", "default")
    values = {name: text for name, text in SAMPLES.items() if name != "web_cidr"}
    files.write(files.own, **values, web_cidr="none")
    ours = files.resolve().settings

    for name, value in settings_environment(ours).items():
        monkeypatch.setenv(name, value)
    files.write(files.project, max_workers="1", lease_s="1", token="theirs")
    files.own.unlink()
    theirs = files.resolve().settings

    for one in fields(Settings):
        if not is_secret(one.name):
            assert getattr(theirs, one.name) == getattr(ours, one.name), one.name
    assert theirs.token is None
    assert files.said == []
    assert variable("token") not in settings_environment(ours)
