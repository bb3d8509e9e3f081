"""The settings files: which of them are read, and whether their words count.

Three kinds, by how much they are the user's own word:

- a file that the user names (``--config``, ``IRAAS_CONFIG``); no other is read then,
- the user's own file, in the platform's folder for configuration,
- the project's file, ``iraas.toml`` in the working directory. Nobody named it: whoever made the
  folder put it there. It sets nothing that is `trusted_only`.

Each must be a regular file of a bounded size that nobody but the user and root can change: what
others can change is not the user's word. A project's file that is not is left aside, and that is
told; the other two are an error. See ADR 0189.
"""

import grp
import os
import pwd
import stat
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from iraas.core.control_chars import escape_control_chars
from iraas.core.regular_files import open_regular, read_bounded
from iraas.core.resolver import NO_FILE
from iraas.core.settings import Profile, ResolvedSettings
from iraas.errors import ConfigurationError

PROJECT_FILE = "iraas.toml"
MAX_FILE_BYTES = 64 * 2**10
"""Hundreds of times what all settings take, with comments."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _File:
    """A settings file that was read: its tables, and what to call it."""

    place: str
    tables: dict[str, object]
    trusted: bool = True

    def profile(self, name: str) -> Profile | None:
        values = self.tables.get(name)
        if not isinstance(values, dict):
            return None
        return Profile(values, f"{self.place} [{name}]", self.trusted)


class _UnsafeError(Exception):
    """Others can change a file; the text says how."""


def read_profiles(named: str | None, profile: str | None, say: Say) -> list[Profile]:
    """Read the settings files, the one that counts most first.

    Args:
        named: The file that the user named, or `NO_FILE`; None if none was named.
        profile: The table that the user named; None for ``default``.
        say: Told, in a line for a person, of a file that is left aside.

    Raises:
        ConfigurationError: A file cannot be read, others can change it, or no file has the table.
    """
    files = _read_files(named, say)
    found = [one.profile(profile or "default") for one in files]
    profiles = [one for one in found if one is not None]
    if profile is not None and not profiles:
        places = ", ".join(str(Path(one.place).absolute()) for one in files)
        raise ConfigurationError(
            f"there is no profile {profile!r} in {places or 'any settings file'}",
            remedy=f"Write a table [{profile}] with its settings.",
        )
    return profiles


def tell_of_project_file(profiles: Sequence[Profile], resolved: ResolvedSettings, say: Say) -> None:
    """Say what the project's file sets, and what it would set and may not."""
    project = next((one.source for one in profiles if not one.trusted), None)
    if project is None:
        return
    place = Path(PROJECT_FILE).absolute()
    if used := [name for name, source in resolved.sources.items() if source == project]:
        say(f"{place} sets {', '.join(sorted(used))}.")
    if resolved.ignored:
        say(
            f"{place} may not set {', '.join(resolved.ignored)}: anybody may have written it. If "
            f"it is yours: --config {PROJECT_FILE}, or write them to {user_file()}."
        )


def say_on_stderr(text: str) -> None:
    """Tell a person a line."""
    sys.stderr.write(f"iraas: {escape_control_chars(text)}\n")


def user_file() -> Path:
    """Where the user's own settings file is, or would be."""
    import platformdirs  # noqa: PLC0415 - not for --help

    return platformdirs.user_config_path("iraas") / "config.toml"


def _read_files(named: str | None, say: Say) -> list[_File]:
    if named == NO_FILE:
        return []
    if named is not None:
        return [_read_own(Path(named), missing="Give another --config or IRAAS_CONFIG.")]
    found = [_read_project_file(say)]
    own = user_file()
    if os.path.lexists(own):
        found.append(_read_own(own))
    return [one for one in found if one is not None]


def _read_own(path: Path, *, missing: str = "") -> _File:
    """Read a file that is the user's own word. It may be a link: people keep these elsewhere."""
    try:
        text = _read_safely(path, follow_links=True)
    except _UnsafeError as exc:
        raise ConfigurationError(
            f"{path} is not used: {exc}", remedy=f"Look at what it says, then: chmod go-w {path}"
        ) from exc
    except (OSError, ValueError) as exc:
        said = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise ConfigurationError(f"{path} cannot be read: {said}", remedy=missing) from exc
    return _File(str(path), _tables(str(path), text))


def _read_project_file(say: Say) -> _File | None:
    try:
        text = _read_safely(Path(PROJECT_FILE), follow_links=False)
    except FileNotFoundError:
        return None
    except (_UnsafeError, OSError) as exc:
        said = exc.strerror if isinstance(exc, OSError) else exc
        said = "it is a symbolic link" if Path(PROJECT_FILE).is_symlink() else said
        say(f"{Path(PROJECT_FILE).absolute()} is ignored: {said}.")
        return None
    return _File(PROJECT_FILE, _tables(PROJECT_FILE, text), trusted=False)


def _read_safely(path: Path, *, follow_links: bool) -> bytes:
    with open_regular(path, follow_links=follow_links) as file:
        _check_owner(os.fstat(file.fileno()), "it")
        for folder in {path.absolute().parent, path.resolve().parent}:
            _check_owner(folder.stat(), f"its folder {folder}")
        return read_bounded(file, MAX_FILE_BYTES)


def _check_owner(status: os.stat_result, what: str) -> None:
    """See to it that only the user and root can change a file, or what a folder's names lead to.

    In a folder with the sticky bit, such as /tmp, others may write, and move nothing of ours.
    """
    if status.st_uid not in {0, os.geteuid()}:
        raise _UnsafeError(f"{what} belongs to another user")
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return
    if status.st_mode & stat.S_IWOTH:
        raise _UnsafeError(f"others may write to {what}")
    if status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid):
        raise _UnsafeError(f"a group may write to {what}")


def _is_private_group(group: int) -> bool:
    """Whether a group is the user's alone, as login.defs' USERGROUPS_ENAB makes one for each."""
    try:
        user = pwd.getpwuid(os.geteuid())
        return group == user.pw_gid and grp.getgrgid(group).gr_name == user.pw_name
    except KeyError:
        return False


def _tables(place: str, text: bytes) -> dict[str, object]:
    try:
        tables = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{place} cannot be read: {exc}") from exc
    outside = [key for key, value in tables.items() if not isinstance(value, dict)]
    if outside:
        raise ConfigurationError(
            f"{place} has a setting outside a table: {outside[0]}",
            remedy="Write [default] above it, or the name of another profile.",
        )
    return tables
