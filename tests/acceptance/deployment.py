"""A local deployment that a test drives with the real command, in real processes."""

import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil

from iraas.backends.local.backend import LocalBackend
from iraas.monitoring.status import Status, take_status
from tests.waiting import PATIENCE_S


class Deployment:
    """A local deployment driven by the ``iraas`` command in separate processes."""

    def __init__(self, home: Path, bundle: Path) -> None:
        self.home = home
        self.folder = home / "iraas"
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("IRAAS_")
        } | {
            "IRAAS_HOME": str(home),
            "IRAAS_MODEL": str(bundle),
            "IRAAS_IDLE_TIMEOUT_S": "0.5",
            "IRAAS_POLL_S": "0.2",
            "IRAAS_LEASE_S": "2",
        }

    def run(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "iraas", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
        return done

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "iraas", *arguments],
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self) -> Status:
        """The deployment's status, without a process for it."""
        with closing(LocalBackend(self.home, "iraas")) as backend:
            return take_status(backend, "iraas", time.time)

    def processes(self) -> list[psutil.Process]:
        """The living processes of this deployment, by the home in their environment; and their
        children, which know no home: those that decode.
        """
        found: dict[psutil.Process, None] = {}
        for process in psutil.process_iter():
            try:
                if (
                    process.environ().get("IRAAS_HOME") == str(self.home)
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found |= dict.fromkeys([process, *process.children(recursive=True)])
            except psutil.Error:
                continue
        return list(found)

    def stored(self, store: str) -> list[Path]:
        """The files in a store."""
        return [one for one in (self.folder / store).glob("*/*/*") if one.is_file()]

    def stop(self) -> None:
        """End the remaining processes."""
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
