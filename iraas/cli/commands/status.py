"""``iraas status``: the state of a deployment."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from iraas.cli.options import JsonOption, with_settings
from iraas.core.settings import ResolvedSettings
from iraas.errors import UsageError

if TYPE_CHECKING:
    from iraas.controller.dead_letters import DeadLetter
    from iraas.monitoring.status import Status

REFRESH_S = 1.0
LETTERS = 10


@with_settings()
def status(
    resolved: ResolvedSettings,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it.")] = False,
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="Also the newest dead letters, and why they are.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show queue depth, workers, throughput and the controller's last decision.

    Rebuilt at each look from the queues, the stores and the fleet. What is done is counted as the
    workers tell it: a worker that is killed takes what it did in its last second with it, and what
    submit refused by itself no worker has seen. The results of a job miss nothing.

    Example:  iraas status --watch
    """
    from iraas.bootstrap import open_backend  # noqa: PLC0415 - not for --help
    from iraas.controller.dead_letters import newest_dead_letters  # noqa: PLC0415 - not for --help
    from iraas.monitoring.status import StatusCache, take_status  # noqa: PLC0415 - as above

    if watch and dead_letters:
        raise UsageError("--dead-letters looks once: leave out --watch")
    with open_backend(resolved.settings) as backend:
        memory = StatusCache(backend, time.time)

        def look() -> "Status":
            return take_status(backend, resolved.settings.deployment, time.time, memory)

        if watch:
            _watch(look, as_json=as_json)
        else:
            _show(look(), newest_dead_letters(backend, LETTERS) if dead_letters else None, as_json)


def _show(status: "Status", letters: "list[DeadLetter] | None", as_json: bool) -> None:
    from iraas.cli.output.render import console, letter_table, print_json, status_view  # noqa: PLC0415 - as above

    if as_json:
        told = {} if letters is None else {"letters": [asdict(one) for one in letters]}
        print_json(status.to_json() | told)
        return
    out = console()
    out.print(status_view(status))
    if letters:
        out.print()
        out.print(letter_table(letters))


def _watch(look: "Callable[[], Status]", *, as_json: bool) -> NoReturn:
    """Show one look after the other: in place on a terminal, elsewhere each below the last."""
    from rich.live import Live  # noqa: PLC0415 - not for --help

    from iraas.cli.output.render import console, print_json, status_view  # noqa: PLC0415 - as above

    out = console()
    if out.is_terminal and not as_json:
        with Live(status_view(look()), console=out, auto_refresh=False) as live:
            while True:
                time.sleep(REFRESH_S)
                live.update(status_view(look()), refresh=True)
    while True:
        if as_json:
            print_json(look().to_json())
        else:
            out.print(status_view(look()), end="\n\n")
            sys.stdout.flush()
        time.sleep(REFRESH_S)
