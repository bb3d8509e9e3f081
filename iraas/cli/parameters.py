"""The options that set settings, and the root of all commands, which has those that all share."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any

import typer

from iraas.core.resolver import NO_FILE
from iraas.core.settings import PROJECT_FILE, RENAMED, Settings, option, variable

DEPLOYMENT_PANEL = "Deployment"
SHARED = ("deployment", "backend", "home", "region")
"""The settings that every command has an option for."""
FILES = ("profile", "config")
"""The options that say which settings file is read, and which table of it."""
_SHORT = {"deployment": ("-d",), "backend": ("-b",)}
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
    "web_instance_type": "TYPE",
    "web_cidr": "RANGE|none",
    "prices": "FILE",
}


def _one_of(*values: str) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


_COMPLETIONS: Mapping[str, Callable[[str], list[str]]] = {
    "backend": _one_of("local", "aws"),
    "pricing": _one_of("spot", "on-demand", "spot,on-demand"),
}
"""The completion of an option's value, by the name of its setting."""


def with_shared_options(function: Callable[..., Any]) -> Callable[..., None]:
    """Give the root of all commands the options that they share, so that these may stand before a
    command's name as well; those after it win.
    """

    @functools.wraps(function)
    def root(**arguments: Any) -> None:
        context = arguments.pop("context")
        context.obj = {name: arguments.pop(name) for name in (*SHARED, *FILES)}
        function(**arguments)

    own = list(inspect.signature(function).parameters.values())
    set_parameters(root, [*own, *setting_parameters(SHARED), *file_parameters()])
    return root


def set_parameters(command: Callable[..., Any], parameters: list[inspect.Parameter]) -> None:
    """Let a wrapper of a command's function have these parameters, and ``context``."""
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    found = [*parameters, context]
    command.__signature__ = inspect.Signature(found)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in found}
    del command.__wrapped__  # type: ignore[attr-defined]


def former_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The former names of some settings, which still have options, hidden ones."""
    return tuple(old for old, new in RENAMED.items() if new in names)


def setting_parameters(names: tuple[str, ...]) -> list[inspect.Parameter]:
    """The options of some settings."""
    hidden = [keyword(old, _hidden_option(old)) for old in former_names(names)]
    return [keyword(name, _option(name)) for name in names] + hidden


def file_parameters() -> list[inspect.Parameter]:
    """The options that say which settings file is read, and which table of it."""
    texts = {
        "profile": ("NAME", "The table of the settings files to read."),
        "config": (
            f"FILE|{NO_FILE}",
            f"Read this settings file, and neither {PROJECT_FILE} nor your own.",
        ),
    }
    return [keyword(name, _file_option(name, *texts[name])) for name in FILES]


def keyword(
    name: str, option: Any, kind: Any = str | None, default: Any = None
) -> inspect.Parameter:
    """A parameter that typer makes an option of."""
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, option],
    )


def _option(name: str) -> Any:
    setting = next(field for field in fields(Settings) if field.name == name)
    return typer.Option(
        option(name),
        *_SHORT.get(name, ()),
        help=f"{setting.metadata['help']} [{variable(name)}{_default(setting.default)}]",
        metavar=_METAVARS.get(name, "N"),
        autocompletion=_COMPLETIONS.get(name),
        rich_help_panel=DEPLOYMENT_PANEL,
        show_default=False,
    )


def _hidden_option(name: str) -> Any:
    return typer.Option(option(name), hidden=True)


def _file_option(name: str, metavar: str, text: str) -> Any:
    return typer.Option(
        option(name),
        metavar=metavar,
        help=f"{text} [{variable(name)}]",
        rich_help_panel=DEPLOYMENT_PANEL,
        show_default=False,
    )


def _default(value: object) -> str:
    """The default in the help of a setting that has the same default everywhere."""
    if value in {None, MISSING, ()}:
        return ""
    if isinstance(value, int):
        return f", default {value:_}"
    return f", default {value:g}" if isinstance(value, float) else f", default {value}"
