"""The settings of a command, from its flags, the environment and the settings files."""

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from iraas.cli.settings_files import Notify, describe_project_file, read_profiles
from iraas.core.resolver import resolve
from iraas.core.settings import ResolvedSettings, variable


def _ignore(_: str) -> None:
    pass


def resolve_settings(
    flags: Mapping[str, object],
    profile: str | None = None,
    config: str | None = None,
    *,
    notify: Notify = _ignore,
) -> ResolvedSettings:
    """Find the settings from the flags, the environment and the settings files.

    Args:
        flags: Values given on the command line, by field name; None means not given.
        profile: The table to read, if one was named on the command line.
        config: The file to read, if one was named on the command line.
        notify: Called with a line for a person about what the project's file sets, what is
            ignored, and each former name of a setting that is used.

    Raises:
        UsageError: If a flag cannot be used.
        ConfigurationError: If anything else cannot be used.
    """
    profiles = read_profiles(
        config or os.environ.get(variable("config")) or None,
        profile or os.environ.get(variable("profile")) or None,
        notify,
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
    for old, new in resolved.renamed:
        notify(f"{old} is now called {new}; the old name still works.")
    describe_project_file(profiles, resolved, notify)
    return resolved
