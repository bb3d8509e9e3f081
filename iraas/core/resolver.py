"""The resolver of the settings: flag > environment > files > default.

Pure: the caller reads the flags, the environment and the files, and passes them in. The source of
every value is recorded; ``iraas config show`` prints both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from iraas.core.settings import (
    FLAG,
    RENAMED,
    Profile,
    ResolvedSettings,
    Settings,
    is_secret,
    option,
    variable,
)
from iraas.errors import ConfigurationError, UsageError

NO_FILE = "none"
"""The `config` setting that disables settings files. Child processes get it: they inherit the
command's settings through the environment."""


def resolve(
    *,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    profiles: Sequence[Profile] = (),
    defaults: Mapping[str, object],
) -> ResolvedSettings:
    """Resolve every setting.

    A former name of a setting counts like its present name, which wins where one source has both.

    Args:
        flags: Values given on the command line, by field name; None means not given.
        environment: The process's environment.
        profiles: The settings files' values; the earlier one takes precedence.
        defaults: Machine-dependent defaults: `home` and `cache`.

    Raises:
        UsageError: A flag's value is invalid.
        ConfigurationError: Another value is invalid, or a file has an unknown name.
    """
    known = {field.name for field in fields(Settings)}
    for profile in profiles:
        if unknown := sorted(set(profile.values) - known - RENAMED.keys()):
            raise ConfigurationError(
                f"{profile.source} has an unknown setting: {unknown[0]}",
                remedy="The names are listed by: iraas config show",
            )
    values: dict[str, Any] = dict(defaults)
    sources = dict.fromkeys(known, "default")
    ignored = []
    for field in fields(Settings):
        trusted_only = field.metadata.get("trusted_only", True)
        for raw, source, trusted in _candidates(field.name, flags, environment, profiles):
            if trusted_only and not trusted:
                ignored.append(field.name)
                continue
            sources[field.name] = source
            values[field.name] = _parse(field.name, field.metadata["parse"], raw, source)
            break
    renamed = tuple(_renamed(flags, environment, profiles))
    return ResolvedSettings(Settings(**values), sources, tuple(dict.fromkeys(ignored)), renamed)


def settings_environment(settings: Settings) -> dict[str, str]:
    """Build the environment that passes these settings to a child process, without secrets.

    It disables settings files: in another folder the child would find other ones.
    """
    values = {
        field.name: getattr(settings, field.name)
        for field in fields(Settings)
        if not is_secret(field.name)
    }
    found = {variable(name): _as_text(value) for name, value in values.items() if value is not None}
    return {**found, variable("config"): NO_FILE, variable("profile"): ""}


def settings_from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings that `settings_environment` wrote; no file is read.

    Args:
        environment: The process's environment.

    Raises:
        ConfigurationError: A value is invalid.
    """
    return resolve(flags={}, environment=environment, defaults={}).settings


def _as_text(value: object) -> str:
    if value == "":
        return "none"  # an empty range lets nobody in; an empty variable is not set at all
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _candidates(
    name: str,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    profiles: Sequence[Profile],
) -> Iterator[tuple[object, str, bool]]:
    """The values given for a setting, the winner first: value, source, whether it is trusted."""
    names = (name, *(old for old, new in RENAMED.items() if new == name))
    for spelling in names:
        if flags.get(spelling) is not None:
            yield flags[spelling], FLAG, True
    for key in map(variable, names):
        if environment.get(key, "") != "":
            yield environment[key], f"environment {key}", True
    for profile in profiles:
        for spelling in names:
            if spelling in profile.values:
                yield profile.values[spelling], profile.source, profile.trusted


def _renamed(
    flags: Mapping[str, object], environment: Mapping[str, str], profiles: Sequence[Profile]
) -> Iterator[tuple[str, str]]:
    """The former names that are used, each as it was written, with the present one."""
    for old, new in RENAMED.items():
        if flags.get(old) is not None:
            yield option(old), option(new)
        if environment.get(variable(old), "") != "":
            yield variable(old), variable(new)
        for profile in profiles:
            if old in profile.values:
                yield f"{old} in {profile.source}", new


def _parse(name: str, parse: Callable[[str], object], raw: object, source: str) -> object:
    try:
        return parse(",".join(map(str, raw)) if isinstance(raw, list | tuple) else str(raw))
    except ValueError as exc:
        error = UsageError if source == FLAG else ConfigurationError
        raise error(
            f"the setting {name} cannot be {str(raw)[:80]!r} (from {source}): {exc}",
            remedy=f"Give another {option(name)} or {variable(name)}.",
        ) from exc
