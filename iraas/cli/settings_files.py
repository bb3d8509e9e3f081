"""The settings files: which of them are read, and which are trusted.

Three kinds, by how far they are trusted:

- a file that the user names (``--config``, ``IRAAS_CONFIG``); no other is read then,
- the user's own file, in the platform's folder for configuration,
- the project's file, ``iraas.toml`` in the working directory. Nobody named it: whoever made the
  folder put it there. It sets nothing that is `trusted_only`.

Each must be a regular file of a bounded size that nobody but the user and root can change. A
project's file that is not is ignored with a notice; the other two are an error. See ADR 0189.
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

import platformdirs

from iraas.core.control_chars import escape_control_chars
from iraas.core.regular_files import open_regular, read_bounded
from iraas.core.resolver import NO_FILE
from iraas.core.settings import PROJECT_FILE, Profile, ResolvedSettings
from iraas.errors import ConfigurationError

MAX_FILE_BYTES = 64 * 2**10
"""Hundreds of times the size of all settings with comments."""

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _File:
    """A settings file that was read: its tables, and its name for people."""

    name: str
    tables: dict[str, object]
    trusted: bool = True

    def profile(self, table: str) -> Profile | None:
        values = self.tables.get(table)
        if not isinstance(values, dict):
            return None
        return Profile(values, f"{self.name} [{table}]", self.trusted)


class _UnsafeError(Exception):
    """Others can change a file; the text says how."""


def read_profiles(named: str | None, profile: str | None, notify: Notify) -> list[Profile]:
    """Read the settings files, the one that counts most first.

    Args:
        named: The file that the user named, or `NO_FILE`; None if none was named.
        profile: The table that the user named; None for ``default``.
        notify: Called with a line for a person about a file that is ignored.

    Raises:
        ConfigurationError: A file cannot be read, others can change it, or no file has the table.
    """
    files = _read_files(named, notify)
    tables = [file.profile(profile or "default") for file in files]
    profiles = [table for table in tables if table is not None]
    if profile is not None and not profiles:
        paths = ", ".join(str(Path(file.name).absolute()) for file in files)
        raise ConfigurationError(
            f"there is no profile {profile!r} in {paths or 'any settings file'}",
            remedy=f"Write a table [{profile}] with its settings.",
        )
    return profiles


def describe_project_file(
    profiles: Sequence[Profile], resolved: ResolvedSettings, notify: Notify
) -> None:
    """Describe the settings that the project's file sets, and those that it may not set."""
    project = next((profile.source for profile in profiles if not profile.trusted), None)
    if project is None:
        return
    path = Path(PROJECT_FILE).absolute()
    if used := [name for name, source in resolved.sources.items() if source == project]:
        notify(f"{path} sets {', '.join(sorted(used))}.")
    if resolved.ignored:
        notify(
            f"{path} may not set {', '.join(resolved.ignored)}: anybody may have written it. If "
            f"it is yours: --config {PROJECT_FILE}, or write them to {user_file()}."
        )


def print_notice(text: str) -> None:
    """Print a line for a person on stderr."""
    sys.stderr.write(f"iraas: {escape_control_chars(text)}\n")


def user_file() -> Path:
    """Where the user's own settings file is, or would be."""
    return platformdirs.user_config_path("iraas") / "config.toml"


def _read_files(named: str | None, notify: Notify) -> list[_File]:
    if named == NO_FILE:
        return []
    if named is not None:
        return [_read_own(Path(named), missing="Give another --config or IRAAS_CONFIG.")]
    found = [_read_project_file(notify)]
    own = user_file()
    if os.path.lexists(own):
        found.append(_read_own(own))
    return [file for file in found if file is not None]


def _read_own(path: Path, *, missing: str = "") -> _File:
    """Read a trusted file. It may be a link: people keep these elsewhere."""
    try:
        text = _read_safely(path, follow_links=True)
    except _UnsafeError as exc:
        raise ConfigurationError(
            f"{path} is not used: {exc}", remedy=f"Check its content, then: chmod go-w {path}"
        ) from exc
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise ConfigurationError(f"{path} cannot be read: {reason}", remedy=missing) from exc
    return _File(str(path), _tables(str(path), text))


def _read_project_file(notify: Notify) -> _File | None:
    try:
        text = _read_safely(Path(PROJECT_FILE), follow_links=False)
    except FileNotFoundError:
        return None
    except (_UnsafeError, OSError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        reason = "it is a symbolic link" if Path(PROJECT_FILE).is_symlink() else reason
        notify(f"{Path(PROJECT_FILE).absolute()} is ignored: {reason}.")
        return None
    return _File(PROJECT_FILE, _tables(PROJECT_FILE, text), trusted=False)


def _read_safely(path: Path, *, follow_links: bool) -> bytes:
    with open_regular(path, follow_links=follow_links) as file:
        _check_owner(os.fstat(file.fileno()), "it")
        for folder in {path.absolute().parent, path.resolve().parent}:
            _check_owner(folder.stat(), f"its folder {folder}")
        return read_bounded(file, MAX_FILE_BYTES)


def _check_owner(status: os.stat_result, what: str) -> None:
    """Check that only the user and root can change a file, or rename what is in a folder.

    In a folder with the sticky bit, such as /tmp, others may write but cannot move our files.
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


def _tables(name: str, text: bytes) -> dict[str, object]:
    try:
        tables = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{name} cannot be read: {exc}") from exc
    outside = [key for key, value in tables.items() if not isinstance(value, dict)]
    if outside:
        raise ConfigurationError(
            f"{name} has a setting outside a table: {outside[0]}",
            remedy="Write [default] above it, or the name of another profile.",
        )
    return tables
