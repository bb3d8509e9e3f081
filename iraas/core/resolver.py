"""The one resolver of the settings: flag > environment > files > default.

Pure: the caller reads the flags, the environment and the files, and passes them in. Every value
knows where it came from; ``iraas config show`` prints both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from iraas.core.settings import FLAG, Profile, ResolvedSettings, Settings, is_secret, variable
from iraas.errors import ConfigurationError, UsageError

NO_FILE = "none"
"""Named instead of a file, it says that none is to be read. Processes that a command starts get it:
they have the command's settings already."""


def resolve(
    *,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    profiles: Sequence[Profile] = (),
    defaults: Mapping[str, object],
) -> ResolvedSettings:
    """Find every setting.

    Args:
        flags: Values given on the command line, by field name; None means not given.
        environment: The process's environment.
        profiles: What the settings files say; the earlier one wins.
        defaults: Defaults that depend on the machine: `home` and `cache`.

    Raises:
        UsageError: If a flag's value cannot be used.
        ConfigurationError: If any other value cannot be used, or a file has an unknown name.
    """
    known = {one.name for one in fields(Settings)}
    for profile in profiles:
        if unknown := sorted(set(profile.values) - known):
            raise ConfigurationError(
                f"{profile.place} has a setting that iraas does not know: {unknown[0]}",
                remedy="The names are listed by: iraas config show",
            )
    values: dict[str, Any] = dict(defaults)
    sources = dict.fromkeys(known, "default")
    ignored = []
    for one in fields(Settings):
        trusted_only = one.metadata.get("trusted_only", True)
        for raw, source, trusted in _places(one.name, flags, environment, profiles):
            if trusted_only and not trusted:
                ignored.append(one.name)
                continue
            sources[one.name] = source
            values[one.name] = _parse(one.name, one.metadata["parse"], raw, source)
            break
    return ResolvedSettings(Settings(**values), sources, tuple(ignored))


def settings_environment(settings: Settings) -> dict[str, str]:
    """The environment that gives another iraas process these very settings, secrets left out.

    It reads no settings file: in another folder it would find another one.
    """
    values = {
        one.name: getattr(settings, one.name) for one in fields(Settings) if not is_secret(one.name)
    }
    found = {variable(name): _as_text(value) for name, value in values.items() if value is not None}
    return {**found, variable("config"): NO_FILE, variable("profile"): ""}


def settings_from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings that `settings_environment` wrote down; no file is looked at.

    Args:
        environment: The process's environment.

    Raises:
        ConfigurationError: If one cannot be used.
    """
    return resolve(flags={}, environment=environment, defaults={}).settings


def _as_text(value: object) -> str:
    if value == "":
        return "none"  # nobody may reach the web tier: an empty variable is none at all
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _places(
    name: str,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    profiles: Sequence[Profile],
) -> Iterator[tuple[object, str, bool]]:
    """Where a setting has a value, the one that wins first: value, source, whether trusted."""
    if flags.get(name) is not None:
        yield flags[name], FLAG, True
    if environment.get(variable(name), "") != "":
        yield environment[variable(name)], f"environment {variable(name)}", True
    for profile in profiles:
        if name in profile.values:
            yield profile.values[name], profile.place, profile.trusted


def _parse(name: str, parse: Callable[[str], object], raw: object, source: str) -> object:
    try:
        return parse(",".join(map(str, raw)) if isinstance(raw, list | tuple) else str(raw))
    except ValueError as exc:
        kind = UsageError if source == FLAG else ConfigurationError
        raise kind(
            f"the setting {name} cannot be {str(raw)[:80]!r} (from {source}): {exc}",
            remedy=f"Give another --{name.replace('_', '-')} or {variable(name)}.",
        ) from exc
