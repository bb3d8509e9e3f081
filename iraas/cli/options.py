"""The options that several commands have, and how a command gets its settings."""

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from iraas.cli.parameters import (
    FILES,
    SHARED,
    file_parameters,
    former_names,
    keyword,
    set_parameters,
    setting_parameters,
)
from iraas.cli.settings import resolve_settings
from iraas.cli.settings_files import print_notice

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")]
SaveOption = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Save the outcomes: FILE.csv or FILE.jsonl."),
]
NoWaitOption = Annotated[
    bool, typer.Option("--no-wait", help="Print the job's id and leave once all is sent.")
]
TimeoutOption = Annotated[
    float | None, typer.Option(min=1, metavar="S", help="Stop waiting after so many seconds.")
]


def with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Give a command its settings as the first argument, and the options to set them by.

    Args:
        names: The settings that this command has options for, beside those that all have.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., None]:
        flags = (*names, *SHARED)
        options = (*flags, *former_names(flags), *FILES)

        @functools.wraps(function)
        def command(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in options}
            before = arguments.pop("context").find_root().obj or {}
            given |= {name: value for name, value in before.items() if given[name] is None}
            _start_logging(verbose=arguments.pop("verbose"))
            profile, config = (given.pop(name) for name in FILES)
            resolved = resolve_settings(given, profile, config, notify=print_notice)
            function(resolved, **arguments)

        own = list(inspect.signature(function).parameters.values())[1:]
        set_parameters(
            command,
            [
                *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
                *setting_parameters(flags),
                *file_parameters(),
                _verbose(),
            ],
        )
        return command

    return decorate


def _verbose() -> inspect.Parameter:
    option = typer.Option("--verbose", "-v", help="Print more, on stderr.")
    return keyword("verbose", option, bool, default=False)


def _start_logging(*, verbose: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
