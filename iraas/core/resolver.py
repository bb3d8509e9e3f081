"""The resolver of the settings: flag > environment > files > default.

Pure: the caller reads the flags, the environment and the files, and passes them in. The source of
every value is recorded; ``iraas config show`` prints both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from iraas.core.settings import FLAG, Profile, ResolvedSettings, Settings, is_secret, variable
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

    Args:
        flags: Values given on the command line, by field name; None means not given.
        environment: The process's environment.
        profiles: The settings files' values; the earlier one takes precedence.
        defaults: Machine-dependent defaults: `home` and `cache`.

    Raises:
        UsageError: A flag's value is invalid.
        ConfigurationError: Another value is invalid, or a file has an unknown name.
    """
    known = {setting.name for setting in fields(Settings)}
    for profile in profiles:
        if unknown := sorted(set(profile.values) - known):
            raise ConfigurationError(
                f"{profile.source} has an unknown setting: {unknown[0]}",
                remedy="The names are listed by: iraas config show",
            )
    values: dict[str, Any] = dict(defaults)
    sources = dict.fromkeys(known, "default")
    ignored = []
    for setting in fields(Settings):
        name = setting.name
        trusted_only = setting.metadata.get("trusted_only", True)
        for raw, source, trusted in _candidates(name, flags, environment, profiles):
            if trusted_only and not trusted:
                ignored.append(name)
                continue
            sources[name] = source
            values[name] = _parse(name, setting.metadata["parse"], raw, source)
            break
    return ResolvedSettings(Settings(**values), sources, tuple(ignored))


def settings_environment(settings: Settings) -> dict[str, str]:
    """Build the environment that passes these settings to a child process, without secrets.

    It disables settings files: in another folder the child would find other ones.
    """
    names = [setting.name for setting in fields(Settings) if not is_secret(setting.name)]
    values = {name: getattr(settings, name) for name in names}
    found = {variable(name): _as_text(value) for name, value in values.items() if value is not None}
    return {**found, variable("config"): NO_FILE, variable("profile"): ""}


def settings_from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings that `settings_environment` passed on. Reads no file.

    Args:
        environment: The process's environment.

    Raises:
        ConfigurationError: A value is invalid.
    """
    return resolve(flags={}, environment=environment, defaults={}).settings


def _as_text(value: object) -> str:
    if value == "":
        return "none"  # an empty `web_cidr`: an empty variable would count as unset
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _candidates(
    name: str,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    profiles: Sequence[Profile],
) -> Iterator[tuple[object, str, bool]]:
    """Iterate over a setting's value, source and trust, in order of precedence."""
    if flags.get(name) is not None:
        yield flags[name], FLAG, True
    if environment.get(variable(name), "") != "":
        yield environment[variable(name)], f"environment {variable(name)}", True
    for profile in profiles:
        if name in profile.values:
            yield profile.values[name], profile.source, profile.trusted


def _parse(name: str, parse: Callable[[str], object], raw: object, source: str) -> object:
    try:
        return parse(",".join(map(str, raw)) if isinstance(raw, list | tuple) else str(raw))
    except ValueError as exc:
        error = UsageError if source == FLAG else ConfigurationError
        raise error(
            f"the setting {name} cannot be {str(raw)[:80]!r} (from {source}): {exc}",
            remedy=f"Give another --{name.replace('_', '-')} or {variable(name)}.",
        ) from exc
