"""The web tier in a separate process, started by the real command."""

import signal
import threading
from pathlib import Path

import httpx2

from tests.functional.cli.deployment import Deployment
from tests.waiting import PATIENCE_S

CLIENTS = 100


class RealWeb:
    """A running ``iraas serve-web``."""

    def __init__(self, deployment: Deployment, *arguments: str, **settings: str) -> None:
        self.process = deployment.start("serve-web", "--port", "0", *arguments, **settings)
        assert self.process.stderr is not None
        self.said: list[str] = []
        for line in self.process.stderr:
            self.said.append(line)
            if "http://" in line:
                break
        assert self.said, "it ended before it was ready"
        url = self.said[-1].split()[-1]
        self._reading = threading.Thread(target=self.said.extend, args=(self.process.stderr,))
        self._reading.start()
        limits = httpx2.Limits(max_connections=2 * CLIENTS)
        self.client = httpx2.Client(base_url=url, timeout=120, limits=limits)

    def ask(self, name: str, path: Path) -> str:
        return self.client.post("/", files={"inputFile": (name, path.read_bytes())}).text

    def kill(self) -> None:
        self.process.kill()
        self.join()

    def join(self) -> None:
        self.process.wait(PATIENCE_S)
        self._reading.join(PATIENCE_S)
        self.client.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.join()
        return int(self.process.returncode)
