"""``iraas provision``: make what a deployment is made of."""

import typer

from iraas.cli.options import DryRunOption, JsonOption, YesOption, with_settings
from iraas.core.settings import Resolved


@with_settings()
def provision(
    resolved: Resolved,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a deployment's queues, stores and the rest. Safe to repeat.

    The local backend also makes them by itself when they are first needed.

    Example:  iraas provision --dry-run
    """
    from iraas.cli.composition import open_backend  # noqa: PLC0415 - not for --help
    from iraas.cli.render import (  # noqa: PLC0415 - not for --help
        console,
        print_json,
        resource_json,
        resource_table,
    )

    with open_backend(resolved.settings) as backend:
        plan = backend.stack.plan()
        missing = [one for one in plan if not one.exists]
        if not as_json:
            console(stderr=True).print(resource_table(plan, "to be made"))
        if missing and not dry_run:
            if resolved.settings.backend != "local" and not yes:
                typer.confirm("Make them?", abort=True, err=True)
            backend.stack.provision()
            plan = backend.stack.plan()
        if as_json:
            print_json(resource_json(plan))
        elif not dry_run:
            typer.echo(f"The deployment {resolved.settings.deployment} is ready.", err=True)
