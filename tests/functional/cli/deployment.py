"""A local deployment for one test, driven by the real command in separate processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil

from iraas.backends.local.backend import LocalBackend
from iraas.backends.local.controller_lease import FileLease
from iraas.jobs.store import list_jobs
from iraas.monitoring.status import take_status
from tests.functional.cli.prefork import preforked
from tests.functional.cli.terminal import Terminal
from tests.waiting import PATIENCE_S, wait_until

COMMAND = str(Path(sys.executable).with_name("iraas"))
Done = subprocess.CompletedProcess[str]


class Deployment:
    """Runs ``iraas`` with a separate home, by which its processes are found.

    Attributes:
        folder: Where commands run.
        home: The local backend's data.
        environment: The environment of commands, without the settings of this user.
        job: The job that it was made with; empty if there is none.
    """

    def __init__(self, root: Path, bundle: Path) -> None:
        self.job = ""
        self._started: list[subprocess.Popen[str]] = []
        self.folder = root / "work"
        self.folder.mkdir(parents=True)
        self.home = root / "home"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IRAAS_")}
        self.environment = kept | {
            "XDG_CONFIG_HOME": str(root / "config"),
            "IRAAS_HOME": str(self.home),
            "IRAAS_CACHE": str(bundle.parent),
            "IRAAS_IDLE_TIMEOUT_S": "0.1",
            "IRAAS_POLL_S": "0.1",
            "IRAAS_MAX_WORKERS": "1",
            "COLUMNS": "120",
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        }
        self.environment.pop("NO_COLOR", None)

    def run(
        self, *arguments: str, expect: int | None = 0, given: str = "", **settings: str
    ) -> Done:
        """Run a command to its end, and expect an exit code (None: any).

        It runs in a fork of a process that has loaded everything; ``start`` has the whole start.
        """
        done = preforked().run(
            arguments, self.folder, self.environment | settings, given, PATIENCE_S
        )
        assert expect in {None, done.returncode}, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(
        self, *arguments: str, expect: int = 0, given: str = "", **settings: str
    ) -> list[dict[str, Any]]:
        """Run a command with ``--json``, and read its lines."""
        done = self.run(*arguments, "--json", expect=expect, given=given, **settings)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start a command."""
        process = subprocess.Popen(
            [COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self.environment | settings,
            text=True,
        )
        self._started.append(process)
        return process

    def terminal(self, *arguments: str, **settings: str) -> Terminal:
        """Start a command on a terminal."""
        return Terminal([COMMAND, *arguments], self.folder, self.environment | settings)

    def add_images(self, *names: str, source: Path) -> None:
        """Put copies of an image into the folder."""
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())

    def open(self) -> LocalBackend:
        """The deployment, as another process would open it. Starts nothing."""
        return LocalBackend(self.home, "iraas", capacity=1, worker_command=["false"])

    def lease(self) -> FileLease:
        """The controller's lease: holding it keeps all controllers from starting workers."""
        return FileLease(self.home / "iraas" / "controller.lock")

    def job_id(self) -> str:
        """The id of the last job."""
        with closing(self.open()) as backend:
            return [one.job.job_id for one in list_jobs(backend)][-1]

    def wait_for_a_running_worker(self) -> None:
        """Wait until exactly one worker runs."""
        wait_until(lambda: self.worker_states() == ["running"], "a running worker", every_s=0.1)

    def worker_states(self) -> list[str]:
        """The states of the current workers, the oldest first."""
        with closing(self.open()) as backend:
            return [one.state for one in take_status(backend, "iraas", time.time).workers]

    def processes(self) -> list[psutil.Process]:
        """The living processes of this deployment, those included that decode and know no home."""
        found: dict[psutil.Process, None] = {}
        for process in psutil.process_iter():
            if self._is_ours(process):
                with suppress(psutil.Error):
                    found |= dict.fromkeys([process, *process.children(recursive=True)])
        return list(found)

    def wait_until_gone(self) -> None:
        """Wait until no process of this deployment lives."""
        while living := self.processes():
            wait_until(lambda: not any(map(_lives, living)), f"the end of {living}")

    def stop(self) -> list[str]:
        """End running processes with SIGTERM, then SIGKILL; return those that were left."""
        for process in self.processes():
            _signal(process, signal.SIGTERM)
        try:
            self.wait_until_gone()
        except AssertionError:
            left = self.processes()
            for process in left:
                _signal(process, signal.SIGKILL)
            return [str(process) for process in left]
        finally:
            self._forget_started()
        return []

    def _forget_started(self) -> None:
        """Release processes that a failed test did not wait for."""
        for process in self._started:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                assert pipe is not None
                pipe.close()
        self._started.clear()

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            ours = process.environ().get("IRAAS_HOME") == str(self.home)
            return ours and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def finish(process: subprocess.Popen[str], timeout_s: float = PATIENCE_S) -> Done:
    """Wait for a started command's end."""
    stdout, stderr = process.communicate(timeout=timeout_s)
    assert "Traceback" not in stderr, stderr
    return Done(process.args, process.returncode, stdout, stderr)


Deploy = Callable[[], Deployment]
