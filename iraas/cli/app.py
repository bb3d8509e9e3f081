"""The command line as a whole."""

import io
import os
import sys
from typing import Annotated

import typer

import iraas
from iraas.cli.commands.config import config_app
from iraas.cli.commands.controller import controller
from iraas.cli.commands.doctor import doctor
from iraas.cli.commands.jobs import jobs
from iraas.cli.commands.loadgen import loadgen
from iraas.cli.commands.provision import provision
from iraas.cli.commands.results import results
from iraas.cli.commands.retry import retry
from iraas.cli.commands.serve_web import serve_web
from iraas.cli.commands.status import status
from iraas.cli.commands.submit import submit
from iraas.cli.commands.teardown import teardown
from iraas.cli.commands.up import up
from iraas.cli.commands.worker import worker
from iraas.cli.exit_codes import ExitCode, exit_code, tell
from iraas.cli.options import with_shared_options
from iraas.cli.plain_help import PlainCommand, PlainGroup
from iraas.errors import IraasError

EPILOG = "Start with:  iraas submit ./images"
CLIENT_PANEL = "Label pictures"
OPERATE_PANEL = "Run a deployment"

app = typer.Typer(
    name="iraas",
    cls=PlainGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
for command in (submit, results, jobs, retry, status, loadgen):
    app.command(cls=PlainCommand, rich_help_panel=CLIENT_PANEL)(command)
for command in (up, serve_web, controller, worker, provision, teardown, doctor):
    app.command(cls=PlainCommand, rich_help_panel=OPERATE_PANEL)(command)
app.add_typer(config_app, name="config", rich_help_panel=OPERATE_PANEL)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"iraas {iraas.__version__}")
        raise typer.Exit


@app.callback()
@with_shared_options
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Image recognition as a service that you own.

    Send pictures, get their labels, leave nothing running.
    """


def main() -> None:
    """Run the command line and exit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="iraas")
    except IraasError as error:
        tell(error)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        # Whoever read our output left.
        _discard_output()
        sys.exit(ExitCode.FAILURE)
    except OSError as error:
        _discard_output()
        place = f"{error.filename}: " if error.filename else ""
        tell(IraasError(f"{place}{error.strerror or error}"))
        sys.exit(ExitCode.FAILURE)


def _discard_output() -> None:
    """Say nothing more on stdout, also not while the interpreter ends and flushes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
