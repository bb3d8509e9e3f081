"""``iraas doctor``: check the installation and the deployment."""

from dataclasses import asdict

import typer

from iraas.cli.doctor_checks import run_checks
from iraas.cli.exit_codes import ExitCode
from iraas.cli.options import JsonOption, with_settings
from iraas.cli.output.render import check_table, console, print_json
from iraas.core.settings import ResolvedSettings


@with_settings("model", "max_workers")
def doctor(resolved: ResolvedSettings, as_json: JsonOption = False) -> None:
    """Check the installation, the model and the deployment, and say how to fix problems.

    Example:  iraas doctor
    """
    checks = list(run_checks(resolved.settings))
    if as_json:
        for check in checks:
            print_json(asdict(check))
    else:
        console().print(check_table(checks))
    if any(check.passed is False for check in checks):
        raise typer.Exit(ExitCode.FAILURE)
