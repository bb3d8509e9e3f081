"""``iraas status``: the state of a deployment."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer
from rich.live import Live

from iraas.bootstrap import open_backend
from iraas.cli.options import JsonOption, with_settings
from iraas.cli.output.render import console, letter_table, print_json, status_view
from iraas.controller.dead_letters import DeadLetter, newest_dead_letters
from iraas.core.settings import ResolvedSettings
from iraas.errors import UsageError
from iraas.monitoring.status import Status, StatusCache, take_status

REFRESH_S = 1.0
LETTERS = 10


@with_settings()
def status(
    resolved: ResolvedSettings,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it.")] = False,
    dead_letters: Annotated[
        bool,
        typer.Option("--dead-letters", help="Also show the newest dead letters and their reasons."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show queue depth, workers, throughput and the controller's last decision.

    Computed anew each time from the queues, the stores and the fleet. Workers count what is done: a
    killed worker's last second is missing, and so are images that submit itself refused. The
    results of a job are complete.

    Example:  iraas status --watch
    """
    if watch and dead_letters:
        raise UsageError("--dead-letters is shown once: leave out --watch")
    with open_backend(resolved.settings) as backend:
        cache = StatusCache(backend, time.time)

        def poll() -> Status:
            return take_status(backend, resolved.settings.deployment, time.time, cache)

        if watch:
            _watch(poll, as_json=as_json)
        else:
            _show(poll(), newest_dead_letters(backend, LETTERS) if dead_letters else None, as_json)


def _show(status: Status, letters: list[DeadLetter] | None, as_json: bool) -> None:
    if as_json:
        extra = {} if letters is None else {"letters": [asdict(letter) for letter in letters]}
        print_json(status.to_json() | extra)
        return
    out = console()
    out.print(status_view(status))
    if letters:
        out.print()
        out.print(letter_table(letters))


def _watch(poll: Callable[[], Status], *, as_json: bool) -> NoReturn:
    """Show the status again and again: in place on a terminal, elsewhere each below the last."""
    out = console()
    if out.is_terminal and not as_json:
        with Live(status_view(poll()), console=out, auto_refresh=False) as live:
            while True:
                time.sleep(REFRESH_S)
                live.update(status_view(poll()), refresh=True)
    while True:
        if as_json:
            print_json(poll().to_json())
        else:
            out.print(status_view(poll()), end="\n\n")
            sys.stdout.flush()
        time.sleep(REFRESH_S)
