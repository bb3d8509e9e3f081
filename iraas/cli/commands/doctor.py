"""``iraas doctor``: is everything here that iraas needs?"""

import typer

from iraas.cli.exit_codes import ExitCode
from iraas.cli.options import JsonOption, with_settings
from iraas.core.settings import ResolvedSettings


@with_settings("model", "max_workers")
def doctor(resolved: ResolvedSettings, as_json: JsonOption = False) -> None:
    """Check the installation, the model and the deployment, and say what to do about trouble.

    Example:  iraas doctor
    """
    from dataclasses import asdict  # noqa: PLC0415 - not for --help

    from iraas.cli.doctor_checks import run_checks  # noqa: PLC0415 - not for --help
    from iraas.cli.output.render import check_table, console, print_json  # noqa: PLC0415 - not for --help

    checks = list(run_checks(resolved.settings))
    if as_json:
        for one in checks:
            print_json(asdict(one))
    else:
        console().print(check_table(checks))
    if any(one.passed is False for one in checks):
        raise typer.Exit(ExitCode.FAILURE)
