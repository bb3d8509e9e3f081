"""``iraas teardown``: remove all that a deployment is made of."""

from typing import Annotated

import typer

from iraas.cli.exits import ExitCode
from iraas.cli.options import DryRunOption, JsonOption, YesOption, with_settings
from iraas.core.settings import Resolved


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
        there = [one for one in backend.stack.plan() if one.exists]
        if not as_json and there:
            out.print(resource_table(there, ""))
        if there and not dry_run:
            if not yes:
                kept = " but its data" if keep_data else ""
                typer.confirm(f"Remove all of {name}{kept}?", abort=True, err=True)
            backend.stack.teardown(keep_data=keep_data)
        remains = [one for one in backend.stack.plan() if one.exists]
        if as_json:
            print_json({"deployment": name, "remains": resource_json(remains)})
        elif remains and not dry_run:
            out.print(resource_table(remains, ""))
        typer.echo(_verdict(name, len(there), len(remains), dry_run=dry_run), err=True)
    if remains and not dry_run and not keep_data:
        raise typer.Exit(ExitCode.FAILURE)


def _verdict(name: str, there: int, remains: int, *, dry_run: bool) -> str:
    if there == 0:
        return f"There is nothing of the deployment {name}."
    if dry_run:
        return f"{there} resources of the deployment {name} would be removed."
    if remains:
        return f"Of the deployment {name} there remain {remains} resources."
    return f"Nothing remains of the deployment {name}."
