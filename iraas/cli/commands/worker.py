"""``iraas worker``: one worker, until nothing is left to do."""

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iraas.backends.local.worker_log import (
    LOG_ENV_VAR,
    bounded_log,
)
from iraas.bootstrap import (
    cores,
    ensure_model,
    iraas_environment,
    open_backend,
)
from iraas.cli.exit_codes import ExitCode
from iraas.cli.options import with_settings
from iraas.cli.output.pluralize import pluralize
from iraas.core.control_chars import escape_control_chars
from iraas.core.records import FAILED
from iraas.core.settings import ResolvedSettings, Settings
from iraas.sandbox.commands import module_command
from iraas.worker.child_process import ClassifierProcess
from iraas.worker.supervisor import Supervisor, SupervisorConfig

if TYPE_CHECKING:
    from iraas.cli.ec2_host import Ec2Host

LOCAL_BEAT_S = 1.0
AWS_BEAT_S = 5.0


@with_settings("model", "processes", "lease_s", "idle_timeout_s")
def worker(
    resolved: ResolvedSettings,
    worker_id: Annotated[
        str | None,
        typer.Option(help="The worker's id: its instance's id in the fleet.", hidden=True),
    ] = None,
    end_machine: Annotated[
        bool,
        typer.Option(
            "--end-machine",
            help="Be this EC2 instance's worker: watch its Spot notice, shut it down at the end.",
        ),
    ] = False,
) -> None:
    """Classify the images on the request queue, then leave.

    The controller starts workers by itself; start one by hand to add capacity, or to watch it.
    Ctrl-C finishes the images that are being classified and leaves; a second one leaves at once.

    Example:  iraas worker --processes 4
    """
    settings = resolved.settings
    host = _ec2_host() if end_machine else None
    name = host.instance_id() if host else worker_id or f"w-{secrets.token_hex(4)}"
    start = _classifier_starter(settings, name, must_be_confined=end_machine)
    with _bounded_log(), open_backend(settings) as backend:
        supervisor = Supervisor(
            backend,
            name,
            processes=settings.processes or cores(),
            manual=worker_id is None and host is None,
            start=start,
            config=SupervisorConfig(
                idle_timeout_s=settings.idle_timeout_s,
                stall_timeout_s=settings.stall_timeout_s,
                heartbeat_interval_s=LOCAL_BEAT_S if settings.backend == "local" else AWS_BEAT_S,
            ),
            interrupted=host.interrupted if host else str,
        )
        _print_start(settings, name)
        record = supervisor.run()
    reason = escape_control_chars(record.reason)
    typer.echo(f"worker {name} left: {reason} ({pluralize(record.done, 'image')})", err=True)
    if host:
        host.end()
    if record.state == FAILED:
        raise typer.Exit(ExitCode.FAILURE)


def _classifier_starter(
    settings: Settings, worker_id: str, *, must_be_confined: bool
) -> Callable[[], ClassifierProcess]:
    """Make the model's bundle, and return the function that starts a classifier process."""
    bundle = ensure_model(settings, lambda text: typer.echo(text, err=True))
    greeting = {
        "bundle": str(bundle),
        "worker_id": worker_id,
        "must_be_confined": must_be_confined,
    }
    return partial(
        ClassifierProcess,
        module_command("iraas.cli.commands.classifier_process"),
        json.dumps(greeting).encode(),
        time.monotonic,
        environment=iraas_environment(settings),
    )


def _print_start(settings: Settings, name: str) -> None:
    processes = settings.processes or cores()
    typer.echo(
        f"worker {name} of {settings.deployment} ({settings.backend}) begins: "
        f"{processes} {'process' if processes == 1 else 'processes'}, model {settings.model}",
        err=True,
    )


@contextmanager
def _bounded_log() -> Iterator[None]:
    """Bound the log file that the local fleet, if it started this worker, has given it."""
    log = os.environ.pop(LOG_ENV_VAR, "")
    with bounded_log(Path(log) if log else None):
        yield


def _ec2_host() -> "Ec2Host":
    from iraas.cli.ec2_host import Ec2Host  # noqa: PLC0415 - on EC2 only

    host = Ec2Host()
    host.watch()
    return host
