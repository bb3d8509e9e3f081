"""``iraas teardown``: remove all that a deployment is made of."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from iraas.cli.exits import ExitCode
from iraas.cli.options import DryRunOption, JsonOption, YesOption, with_settings
from iraas.cli.printable import counted
from iraas.core.settings import Resolved
from iraas.errors import UsageError

if TYPE_CHECKING:
    from iraas.core.ports import Resource


@with_settings()
def teardown(
    resolved: Resolved,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep the images, the outcomes and the records.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """End all workers, remove everything of the deployment, and show that nothing remains.

    Lists what there is and asks first.

    Example:  iraas teardown --dry-run
    """
    from iraas.cli.composition import open_backend  # noqa: PLC0415 - not for --help
    from iraas.cli.render import (  # noqa: PLC0415 - not for --help
        console,
        print_json,
        resource_json,
        resource_table,
    )

    out = console(stderr=True)
    name = resolved.settings.deployment
    with open_backend(resolved.settings) as backend:

        def removable() -> list["Resource"]:
            return [
                one
                for one in backend.stack.plan()
                if one.exists and not (keep_data and one.is_data)
            ]

        there = removable()
        if there and not as_json:
            out.print(resource_table(there, ""))
        if dry_run:
            if as_json:
                print_json({"deployment": name, "would_remove": resource_json(there)})
            typer.echo(_intention(name, len(there)), err=True)
            return
        if there:
            if not yes:
                _ask(name, keep_data=keep_data)
            backend.stack.teardown(keep_data=keep_data)
        remains = removable()
        if as_json:
            print_json({"deployment": name, "remains": resource_json(remains)})
        elif remains:
            out.print(resource_table(remains, ""))
        typer.echo(_verdict(name, len(there), len(remains), keep_data=keep_data), err=True)
    if remains:
        raise typer.Exit(ExitCode.FAILURE)


def _ask(name: str, *, keep_data: bool) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "nobody can be asked whether to remove it, for this is no terminal",
            remedy="Look at it with --dry-run, then remove it with --yes.",
        )
    kept = " but its data" if keep_data else ""
    typer.confirm(f"Remove all of {name}{kept}?", abort=True, err=True)


def _intention(name: str, there: int) -> str:
    if there == 0:
        return f"There is nothing of the deployment {name} to remove."
    return f"{counted(there, 'resource')} of the deployment {name} would be removed."


def _verdict(name: str, there: int, remains: int, *, keep_data: bool) -> str:
    but_data = " but its data" if keep_data else ""
    if there == 0:
        return f"There is nothing of the deployment {name}{but_data}."
    if remains:
        verb = "remains" if remains == 1 else "remain"
        return f"Of the deployment {name} there {verb} {counted(remains, 'resource')}."
    return f"Nothing remains of the deployment {name}{but_data}."
