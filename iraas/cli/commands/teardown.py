"""``iraas teardown``: remove all resources of a deployment."""

import sys
from typing import Annotated

import typer

from iraas.bootstrap import open_backend
from iraas.cli.exit_codes import ExitCode
from iraas.cli.options import DryRunOption, JsonOption, YesOption, with_settings
from iraas.cli.output.pluralize import pluralize
from iraas.cli.output.render import console, print_json, resource_json, resource_table
from iraas.core.ports import Provisioning, Resource
from iraas.core.settings import ResolvedSettings
from iraas.errors import IraasError, UsageError


@with_settings()
def teardown(
    resolved: ResolvedSettings,
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
    name = resolved.settings.deployment
    with open_backend(resolved.settings) as backend:
        if dry_run:
            _announce(name, _list(backend.provisioning, keep_data=keep_data), as_json=as_json)
        else:
            _tear_down(name, backend.provisioning, yes=yes, keep_data=keep_data, as_json=as_json)


def _announce(name: str, resources: list[Resource], *, as_json: bool) -> None:
    if as_json:
        _print_json(name, "would_remove", resources)
    else:
        _show(resources)
    typer.echo(_intention(name, len(resources)), err=True)


def _tear_down(
    name: str, stack: Provisioning, *, yes: bool, keep_data: bool, as_json: bool
) -> None:
    there = None
    try:
        there = _list(stack, keep_data=keep_data)
    except IraasError:
        if not yes:
            raise  # with --yes, what cannot be listed is removed all the same: instances cost money
    if there and not as_json:
        _show(there)
    if there and not yes:
        _ask(name, keep_data=keep_data)
    failure = None if there == [] else _remove(stack, keep_data=keep_data)
    remains = _list(stack, keep_data=keep_data)
    if as_json:
        _print_json(name, "remains", remains)
    else:
        _show(remains)
    typer.echo(_verdict(name, there != [], len(remains), keep_data=keep_data), err=True)
    if failure:
        raise failure
    if remains:
        raise typer.Exit(ExitCode.FAILURE)


def _list(stack: Provisioning, *, keep_data: bool) -> list[Resource]:
    return [
        resource
        for resource in stack.plan()
        if resource.exists and not (keep_data and resource.is_data)
    ]


def _show(resources: list[Resource]) -> None:
    if resources:
        console(stderr=True).print(resource_table(resources, ""))


def _print_json(name: str, key: str, resources: list[Resource]) -> None:
    print_json({"deployment": name, key: resource_json(resources)})


def _remove(stack: Provisioning, *, keep_data: bool) -> IraasError | None:
    """Remove the resources; return the error, so that what remains is shown in any case."""
    try:
        stack.teardown(keep_data=keep_data)
    except IraasError as exc:
        return exc
    return None


def _ask(name: str, *, keep_data: bool) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: stdin is not a terminal",
            remedy="Look at what would be removed with --dry-run, then use --yes.",
        )
    kept = " but its data" if keep_data else ""
    typer.confirm(f"Remove all of {name}{kept}?", abort=True, err=True)


def _intention(name: str, count: int) -> str:
    if count == 0:
        return f"There is nothing of the deployment {name} to remove."
    return f"{pluralize(count, 'resource')} of the deployment {name} would be removed."


def _verdict(name: str, was_there: bool, remains: int, *, keep_data: bool) -> str:
    but_data = " but its data" if keep_data else ""
    if not was_there:
        return f"There is nothing of the deployment {name}{but_data}."
    if remains:
        verb = "remains" if remains == 1 else "remain"
        return f"Of the deployment {name} there {verb} {pluralize(remains, 'resource')}."
    return f"Nothing remains of the deployment {name}{but_data}."
