"""The options that every command shares, and how a command gets its settings."""

import functools
import inspect
import logging
import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from iraas.cli.completion import COMPLETIONS, job_ids
from iraas.core.settings import (
    Profile,
    Resolved,
    Settings,
    resolve,
    variable,
)
from iraas.errors import ConfigurationError

SETTINGS_FILE = "iraas.toml"
DEPLOYMENT_PANEL = "Deployment"
_SHORT = {"deployment": ("-d",), "backend": ("-b",)}
_SHARED = ("deployment", "backend", "home", "region")
_METAVARS = {
    "deployment": "NAME",
    "backend": "local|aws",
    "home": "DIR",
    "model": "NAME|DIR",
    "region": "NAME",
    "token": "TEXT",
    "public_url": "URL",
    "webhook_hosts": "HOST,…",
    "instance_types": "TYPE,…",
    "pricing": "spot,on-demand",
    "subnets": "ID,…",
    "web_kind": "TYPE",
    "web_cidr": "RANGE|none",
    "prices": "FILE",
}

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's id.", autocompletion=job_ids)
]


def with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Give a command its settings as the first argument, and the options to set them by.

    Args:
        names: The settings that this command has options for, beside those that all have.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., None]:
        flags = (*names, *_SHARED)

        @functools.wraps(function)
        def command(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in (*flags, "profile")}
            before = arguments.pop("context").find_root().obj or {}
            given |= {name: one for name, one in before.items() if given[name] is None}
            _start_logging(verbose=arguments.pop("verbose"))
            profile = given.pop("profile")
            function(resolve_settings(given, profile), **arguments)

        own = list(inspect.signature(function).parameters.values())[1:]
        shared = [_parameter(name) for name in flags] + [_profile(), _verbose()]
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own] + shared
        parameters.append(_context())
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        del command.__wrapped__
        return command

    return decorate


def with_shared_options(function: Callable[..., Any]) -> Callable[..., None]:
    """Give the root of all commands the options that they share, to be given before a command's
    name as well; after it they count more.
    """

    @functools.wraps(function)
    def root(**arguments: Any) -> None:
        context = arguments.pop("context")
        context.obj = {name: arguments.pop(name) for name in (*_SHARED, "profile")}
        function(**arguments)

    own = list(inspect.signature(function).parameters.values())
    parameters = [*own, *(_parameter(name) for name in _SHARED), _profile(), _context()]
    root.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    root.__annotations__ = {one.name: one.annotation for one in parameters}
    del root.__wrapped__
    return root


def resolve_settings(flags: dict[str, object], profile: str | None) -> Resolved:
    """Find the settings from the flags, the environment and the settings file.

    Raises:
        ConfigurationError: If one cannot be used.
    """
    import platformdirs  # noqa: PLC0415 - not for --help

    return resolve(
        flags=flags,
        environment=os.environ,
        profile=_read_profile(profile or os.environ.get(variable("profile")) or None),
        defaults={
            "home": Path(platformdirs.user_data_dir("iraas")),
            "cache": Path(platformdirs.user_cache_dir("iraas")) / "bundles",
        },
    )


def _read_profile(name: str | None) -> Profile | None:
    path = Path(SETTINGS_FILE)
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if name is None:
            return None
        tables = {}
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc}") from exc
    outside = [key for key, value in tables.items() if not isinstance(value, dict)]
    if outside:
        raise ConfigurationError(
            f"{path} has a setting outside a table: {outside[0]}",
            remedy="Write [default] above it, or the name of another profile.",
        )
    values = tables.get(name or "default")
    if isinstance(values, dict):
        return Profile(values, f"{path} [{name or 'default'}]")
    if name is None:
        return None
    raise ConfigurationError(
        f"there is no profile {name!r} in {path.absolute()}",
        remedy=f"Write a table [{name}] with its settings.",
    )


def _parameter(name: str) -> inspect.Parameter:
    setting = next(one for one in fields(Settings) if one.name == name)
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        *_SHORT.get(name, ()),
        help=f"{setting.metadata['help']} [{variable(name)}{_default(setting.default)}]",
        metavar=_METAVARS.get(name, "N"),
        autocompletion=COMPLETIONS.get(name),
        rich_help_panel=DEPLOYMENT_PANEL,
        show_default=False,
    )
    return _keyword(name, Annotated[str | None, option], None)


def _default(value: object) -> str:
    """What stands in the help of a setting that has the same default everywhere."""
    if value in {None, MISSING, ()}:
        return ""
    text = (
        f"{value:_}"
        if isinstance(value, int)
        else f"{value:g}"
        if isinstance(value, float)
        else value
    )
    return f", default {text}"


def _profile() -> inspect.Parameter:
    option = typer.Option(
        "--profile",
        metavar="NAME",
        help=f"The table of {SETTINGS_FILE} to read. [{variable('profile')}]",
        rich_help_panel=DEPLOYMENT_PANEL,
        show_default=False,
    )
    return _keyword("profile", Annotated[str | None, option], None)


def _verbose() -> inspect.Parameter:
    option = typer.Option("--verbose", "-v", help="Tell more, on stderr.")
    return _keyword("verbose", Annotated[bool, option], default=False)


def _context() -> inspect.Parameter:
    return inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)


def _keyword(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _start_logging(*, verbose: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
