"""``iraas config``: the settings."""

import typer

from iraas.cli.options import JsonOption, with_settings
from iraas.cli.plain_help import PlainCommand, PlainGroup
from iraas.core.settings import ResolvedSettings

config_app = typer.Typer(cls=PlainGroup, no_args_is_help=True, help="The settings.")


@config_app.command("show", cls=PlainCommand)
@with_settings("model", "max_workers", "processes", "lease_s", "grace_s")
def show(resolved: ResolvedSettings, as_json: JsonOption = False) -> None:
    """Show each setting, and where its value came from.

    A flag wins over IRAAS_<SETTING> in the environment, that over the settings files (that of
    --config, or iraas.toml here and then your own), those over the default.

    Example:  IRAAS_MAX_WORKERS=4 iraas config show
    """
    from iraas.cli.output.render import (  # noqa: PLC0415 - not for --help
        console,
        print_json,
        settings_json,
        settings_table,
    )

    if as_json:
        print_json(settings_json(resolved))
    else:
        console().print(settings_table(resolved))
