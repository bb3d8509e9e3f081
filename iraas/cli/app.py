"""The root of the command line: the options of all commands, and errors as exit codes."""

import io
import os
import sys
from typing import Annotated

import typer

import iraas
from iraas.cli.exit_codes import ExitCode, exit_code, print_error
from iraas.cli.lazy_commands import LazyGroup
from iraas.cli.parameters import with_shared_options
from iraas.errors import IraasError

EPILOG = "Start with:  iraas submit ./images"

app = typer.Typer(
    name="iraas",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"iraas {iraas.__version__}")
        raise typer.Exit


@app.callback()
@with_shared_options
def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Image recognition as a service that you own.

    Send images, get their labels, leave nothing running.
    """


def main() -> None:
    """Run the command line and exit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="iraas")
    except IraasError as error:
        print_error(error)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        # The reader of our output is gone.
        _discard_output()
        sys.exit(ExitCode.FAILURE)
    except OSError as error:
        _discard_output()
        path = f"{error.filename}: " if error.filename else ""
        print_error(IraasError(f"{path}{error.strerror or error}"))
        sys.exit(ExitCode.FAILURE)


def _discard_output() -> None:
    """Discard further output, including what the interpreter flushes when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
