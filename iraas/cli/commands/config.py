"""``iraas config``: the settings."""

import typer

from iraas.cli.options import JsonOption, with_settings
from iraas.cli.output.render import (
    console,
    print_json,
    settings_json,
    settings_table,
)
from iraas.cli.plain_help import PlainCommand, PlainGroup
from iraas.core.settings import ResolvedSettings

config = typer.Typer(
    cls=PlainGroup, no_args_is_help=True, add_completion=False, help="The settings."
)


@config.command("show", cls=PlainCommand)
@with_settings("model", "max_workers", "processes", "lease_s", "idle_timeout_s")
def show(resolved: ResolvedSettings, as_json: JsonOption = False) -> None:
    """Show each setting and the source of its value.

    A flag wins over IRAAS_<SETTING> in the environment, that over the settings files (that of
    --config, or iraas.toml here and then your own), and those over the default.

    Example:  IRAAS_MAX_WORKERS=4 iraas config show
    """
    if as_json:
        print_json(settings_json(resolved))
    else:
        console().print(settings_table(resolved))
