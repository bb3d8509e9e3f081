"""The commands: what the help lists, and the module that is loaded when one of them runs.

A command imports what it needs at the top of its module, so its module is loaded only once the
command line names it. Listing and completing the names of commands loads none.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command, get_group

from iraas.cli.plain_help import PlainCommand, PlainGroup

CLIENT_PANEL = "Label images"
OPERATE_PANEL = "Run a deployment"

PANELS: Mapping[str, Mapping[str, str]] = {
    CLIENT_PANEL: {
        "submit": "Send images and get the label of each.",
        "results": "Print or save the outcomes of a job.",
        "jobs": "List the jobs, the oldest first.",
        "retry": "Send the failed images of a job again, and follow them.",
        "status": "Show queue depth, workers, throughput and the controller's last decision.",
        "loadgen": "Send images as many requesters at once would, and measure what they see.",
    },
    OPERATE_PANEL: {
        "up": "Run the web tier and the controller here, with live status, until Ctrl-C.",
        "serve-web": "Serve the web tier until told to stop.",
        "controller": "Start just enough workers for the waiting images, until told to stop.",
        "worker": "Classify the images on the request queue, then leave.",
        "provision": "Make a deployment's queues, stores and the rest. Safe to repeat.",
        "teardown": "End all workers, remove everything of the deployment, and show that nothing "
        "remains.",
        "doctor": "Check the installation, the model and the deployment, and say how to fix "
        "problems.",
        "config": "The settings.",
    },
}
"""The name and the short help of each command, by the panel of the help that lists it.

The command ``serve-web`` is ``serve_web`` in the module ``iraas.cli.commands.serve_web``.
"""


def load_command(name: str) -> Any:
    """Import a command's module and build the command.

    Args:
        name: A name in `PANELS`.
    """
    attribute = name.replace("-", "_")
    found = getattr(import_module(f"iraas.cli.commands.{attribute}"), attribute)
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(name, cls=PlainCommand)(found)
    return get_command(alone)


class LazyGroup(PlainGroup):
    """The group of all commands; it lists stand-ins, and loads the command that is to run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for panel, commands in PANELS.items():
            for name, text in commands.items():
                self.add_command(PlainCommand(name, help=text, rich_help_panel=panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find the command that the arguments name; see the base."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load_command(name or ""), rest
