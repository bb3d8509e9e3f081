"""Running a controller beside a command: in a thread of it, or as a process of its own."""

import logging
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from iraas.bootstrap import iraas_command, iraas_environment, make_controller
from iraas.controller.controller import Controller
from iraas.core.ports import Backend
from iraas.core.settings import Settings
from iraas.errors import IraasError

log = logging.getLogger(__name__)
RETRY_S = 5.0
JOIN_TIMEOUT_S = 10.0


class ControllerWatch:
    """The health of a controller that runs in a thread of this process.

    Attributes:
        error: The error that last ended the controller; None if it never ended by one.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.error: IraasError | None = None

    def check(self) -> None:
        """Raise the error that keeps the controller from starting any worker, if there is one.

        Raises:
            IraasError: The controller cannot work.
        """
        error = self.error or self._controller.configuration_error
        if error is not None:
            raise error


@contextmanager
def running_controller(settings: Settings, backend: Backend) -> Iterator[ControllerWatch]:
    """Run the deployment's controller in a thread, unless another controller holds the lease.

    It starts again after each error; the caller learns of errors by `ControllerWatch.check`.
    """
    stop = threading.Event()
    controller = make_controller(settings, backend)
    watch = ControllerWatch(controller)

    def run() -> None:
        while not stop.is_set():
            try:
                controller.run(stop)
            except IraasError as error:
                watch.error = error
                if not stop.wait(RETRY_S):
                    log.warning("restarting the controller: %s", error)

    thread = threading.Thread(target=run, name="controller", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join(timeout=JOIN_TIMEOUT_S)


def start_controller(settings: Settings, backend: Backend) -> None:
    """Start a controller that stays until the queue is empty, if the deployment has none.

    Only on this machine's own backend: elsewhere it would depend on this machine staying on.
    """
    if backend.lease.holder():
        return
    if backend.name != "local":
        typer.echo("No controller is running: start one with iraas controller.", err=True)
        return
    subprocess.Popen(
        iraas_command("controller", "--until-idle"),
        env=iraas_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
