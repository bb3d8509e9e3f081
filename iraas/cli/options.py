"""The options that every command shares, and how a command gets its settings."""

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Annotated, Any

import typer

from iraas.cli.completion import COMPLETIONS, job_ids
from iraas.cli.settings import resolve_settings
from iraas.cli.settings_files import PROJECT_FILE, say_on_stderr
from iraas.core.resolver import NO_FILE
from iraas.core.settings import Settings, variable

DEPLOYMENT_PANEL = "Deployment"
_SHORT = {"deployment": ("-d",), "backend": ("-b",)}
_SHARED = ("deployment", "backend", "home", "region")
_FILES = ("profile", "config")
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
            given = {name: arguments.pop(name) for name in (*flags, *_FILES)}
            before = arguments.pop("context").find_root().obj or {}
            given |= {name: one for name, one in before.items() if given[name] is None}
            _start_logging(verbose=arguments.pop("verbose"))
            profile, config = (given.pop(name) for name in _FILES)
            resolved = resolve_settings(given, profile, config, say=say_on_stderr)
            function(resolved, **arguments)

        own = list(inspect.signature(function).parameters.values())[1:]
        shared = [_parameter(name) for name in flags] + [*_file_parameters(), _verbose()]
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
        context.obj = {name: arguments.pop(name) for name in (*_SHARED, *_FILES)}
        function(**arguments)

    own = list(inspect.signature(function).parameters.values())
    shared = [*(_parameter(name) for name in _SHARED), *_file_parameters()]
    parameters = [*own, *shared, _context()]
    root.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    root.__annotations__ = {one.name: one.annotation for one in parameters}
    del root.__wrapped__
    return root


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


def _file_parameters() -> list[inspect.Parameter]:
    """Which settings file is read, and which table of it."""
    file = f"Read this settings file, and neither {PROJECT_FILE} nor your own."
    return [
        _file_parameter("profile", "NAME", "The table of the settings files to read."),
        _file_parameter("config", f"FILE|{NO_FILE}", file),
    ]


def _file_parameter(name: str, metavar: str, text: str) -> inspect.Parameter:
    option = typer.Option(
        f"--{name}",
        metavar=metavar,
        help=f"{text} [{variable(name)}]",
        rich_help_panel=DEPLOYMENT_PANEL,
        show_default=False,
    )
    return _keyword(name, Annotated[str | None, option], None)


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
