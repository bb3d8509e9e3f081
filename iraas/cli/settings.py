"""The settings of a command, from its flags, the environment and the settings files."""

import os
from collections.abc import Mapping
from pathlib import Path

from iraas.cli.settings_files import Say, read_profiles, tell_of_project_file
from iraas.core.resolver import resolve
from iraas.core.settings import ResolvedSettings, variable


def _say_nothing(_: str) -> None:
    pass


def resolve_settings(
    flags: Mapping[str, object],
    profile: str | None = None,
    config: str | None = None,
    *,
    say: Say = _say_nothing,
) -> ResolvedSettings:
    """Find the settings from the flags, the environment and the settings files.

    Args:
        flags: Values given on the command line, by field name; None means not given.
        profile: The table to read, if one was named on the command line.
        config: The file to read, if one was named on the command line.
        say: Told, in a line for a person, what the project's file sets, and what is left aside.

    Raises:
        UsageError: If a flag cannot be used.
        ConfigurationError: If anything else cannot be used.
    """
    import platformdirs  # noqa: PLC0415 - not for --help

    profiles = read_profiles(
        config or os.environ.get(variable("config")) or None,
        profile or os.environ.get(variable("profile")) or None,
        say,
    )
    resolved = resolve(
        flags=flags,
        environment=os.environ,
        profiles=profiles,
        defaults={
            "home": Path(platformdirs.user_data_dir("iraas")),
            "cache": Path(platformdirs.user_cache_dir("iraas")) / "bundles",
        },
    )
    tell_of_project_file(profiles, resolved, say)
    return resolved
