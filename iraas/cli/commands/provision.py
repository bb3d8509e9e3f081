"""``iraas provision``: make the resources of a deployment."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from iraas.bootstrap import open_aws, open_backend
from iraas.cli.exit_codes import ExitCode
from iraas.cli.options import DryRunOption, JsonOption, YesOption, with_settings
from iraas.cli.output.render import (
    console,
    finding_table,
    print_json,
    resource_json,
    resource_table,
)
from iraas.core.ports import Backend
from iraas.core.settings import ResolvedSettings, Settings
from iraas.errors import UsageError

if TYPE_CHECKING:
    from iraas.backends.aws.backend import AwsBackend
    from iraas.backends.aws.provisioning.costs import DeploymentCosts

CheckOption = Annotated[
    bool,
    typer.Option("--check", help="aws: only look for what would prevent it; make nothing."),
]
BakeOption = Annotated[
    bool,
    typer.Option("--bake", help="aws: also make an image with everything installed: fast boots."),
]
WebOption = Annotated[
    bool, typer.Option("--web", help="aws: also launch the web tier's instance, with a controller.")
]


@with_settings(
    "model",
    "max_workers",
    "instance_types",
    "pricing",
    "subnets",
    "max_life_min",
    "keep_data_days",
    "web_instance_type",
    "web_cidr",
    "prices",
)
def provision(
    resolved: ResolvedSettings,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    check: CheckOption = False,
    bake: BakeOption = False,
    web: WebOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a deployment's queues, stores and the rest. Safe to repeat.

    On aws it prints the plan with its costs and asks first. The local backend also makes what it
    needs by itself when it is first needed.

    Examples:
        iraas provision --backend aws --check

        iraas provision --backend aws --bake
    """
    settings = resolved.settings
    if settings.backend == "local":
        if check or bake or web:
            raise UsageError("--check, --bake and --web are for --backend aws")
        with open_backend(settings) as backend:
            _make(backend, settings, None, yes=True, dry_run=dry_run, as_json=as_json)
        return
    with open_aws(settings, to_provision=True) as backend:
        if check:
            _check(backend, as_json=as_json)
            return
        costs = backend.provisioning.costs()
        if not as_json:
            for line in costs.lines():
                typer.echo(line, err=True)
        _make(backend, settings, costs, yes=yes, dry_run=dry_run, as_json=as_json)
        if dry_run:
            return
        if bake:
            typer.echo(f"Workers now start from the image {backend.provisioning.bake()}.", err=True)
        if web:
            _launch_web_tier(backend)


def _make(
    backend: Backend,
    settings: Settings,
    costs: "DeploymentCosts | None",
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    plan = backend.provisioning.plan()
    if not as_json:
        console(stderr=True).print(resource_table(plan, "to be made"))
    if not dry_run:
        if not yes:
            _ask(as_json=as_json)
        backend.provisioning.provision()
        plan = backend.provisioning.plan()
    if as_json:
        print_json(
            {
                "deployment": settings.deployment,
                "resources": resource_json(plan),
                "costs": asdict(costs) if costs else None,
            }
        )
    elif not dry_run:
        typer.echo(f"The deployment {settings.deployment} is ready.", err=True)


def _ask(*, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: "
            + ("--json is for programs" if as_json else "stdin is not a terminal"),
            remedy="Look at the plan with --dry-run, then use --yes.",
        )
    typer.confirm("Make them?", abort=True, err=True)


def _check(backend: "AwsBackend", *, as_json: bool) -> None:
    findings = backend.provisioning.check()
    if as_json:
        for finding in findings:
            print_json(asdict(finding))
    else:
        rows = [(finding.ok, finding.subject, finding.text, finding.remedy) for finding in findings]
        console().print(finding_table(rows))
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(ExitCode.CONFIGURATION)


def _launch_web_tier(backend: "AwsBackend") -> None:
    launch = backend.launch_web_tier()
    if launch.shortfall:
        typer.echo(f"The web tier is not launched: {launch.shortfall}.", err=True)
        raise typer.Exit(ExitCode.FAILURE)
    typer.echo(f"The web tier is the instance {launch.launched[0]}.", err=True)
