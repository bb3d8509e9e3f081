"""``iraas worker``: one worker, until there is nothing left to do."""

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iraas.cli.exit_codes import ExitCode
from iraas.cli.options import with_settings
from iraas.cli.output.pluralize import pluralize
from iraas.core.control_chars import escape_control_chars
from iraas.core.records import FAILED
from iraas.core.settings import ResolvedSettings

if TYPE_CHECKING:
    from iraas.cli.ec2_host import Ec2Host
    from iraas.worker.child_process import ClassifierProcess

LOCAL_BEAT_S = 1.0
AWS_BEAT_S = 5.0


@with_settings("model", "processes", "lease_s", "grace_s")
def worker(
    resolved: ResolvedSettings,
    worker_id: Annotated[
        str | None, typer.Option(help="Its id: its instance's id in the fleet.", hidden=True)
    ] = None,
    end_machine: Annotated[
        bool,
        typer.Option(
            "--end-machine",
            help="Be this EC2 instance's worker: mind its Spot notice, shut it down at the end.",
        ),
    ] = False,
) -> None:
    """Classify what the request queue holds, then leave.

    The controller starts workers by itself; start one by hand to lend a hand, or to look at it
    work. Ctrl-C finishes what is being classified and leaves; a second one leaves at once.

    Example:  iraas worker --processes 4
    """
    from iraas.bootstrap import (  # noqa: PLC0415 - heavy
        cores,
        ensure_model,
        iraas_environment,
        open_backend,
    )
    from iraas.sandbox.commands import module_command  # noqa: PLC0415 - not for --help
    from iraas.worker.child_process import ClassifierProcess  # noqa: PLC0415 - heavy
    from iraas.worker.supervisor import Supervisor, SupervisorConfig  # noqa: PLC0415 - heavy

    settings = resolved.settings
    processes = settings.processes or cores()
    machine = _own_machine() if end_machine else None
    name = machine.instance_id() if machine else worker_id or f"w-{secrets.token_hex(4)}"
    bundle = ensure_model(settings, lambda text: typer.echo(text, err=True))
    greeting = {"bundle": str(bundle), "worker_id": name, "must_be_confined": end_machine}
    command = module_command("iraas.cli.commands.classifier_process")
    environment = iraas_environment(settings)

    def start() -> "ClassifierProcess":
        return ClassifierProcess(
            command, json.dumps(greeting).encode(), time.monotonic, environment=environment
        )

    with _bounded_log(), open_backend(settings) as backend:
        supervisor = Supervisor(
            backend,
            name,
            processes=processes,
            manual=worker_id is None and machine is None,
            start=start,
            config=SupervisorConfig(
                idle_timeout_s=settings.grace_s,
                stall_timeout_s=settings.stall_s,
                heartbeat_interval_s=LOCAL_BEAT_S if settings.backend == "local" else AWS_BEAT_S,
            ),
            interrupted=machine.interrupted if machine else str,
        )
        typer.echo(
            f"worker {name} of {settings.deployment} ({settings.backend}) begins: "
            f"{processes} {'process' if processes == 1 else 'processes'}, model {settings.model}",
            err=True,
        )
        record = supervisor.run()
    reason = escape_control_chars(record.reason)
    typer.echo(f"worker {name} left: {reason} ({pluralize(record.done, 'image')})", err=True)
    if machine:
        machine.end()
    if record.state == FAILED:
        raise typer.Exit(ExitCode.FAILURE)


@contextmanager
def _bounded_log() -> Iterator[None]:
    """Keep the log within its bound that the local fleet, if it started this, has given it."""
    from iraas.backends.local.worker_log import (  # noqa: PLC0415 - not for --help
        LOG_ENV_VAR,
        bounded_log,
    )

    log = os.environ.pop(LOG_ENV_VAR, "")
    with bounded_log(Path(log) if log else None):
        yield


def _own_machine() -> "Ec2Host":
    from iraas.cli.ec2_host import Ec2Host  # noqa: PLC0415 - not for --help

    machine = Ec2Host()
    machine.watch()
    return machine
