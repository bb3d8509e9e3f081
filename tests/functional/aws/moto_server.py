"""A moto server in a separate process, on a loopback port that the system chooses."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_PROGRAM = """
import sys
from datetime import timedelta
from moto import backends
from moto.core import utils
from moto.server import ThreadedMotoServer

modules = list(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: modules  # or each request lists moto's own folder
real_now, ahead_s = utils.utcnow, 0.0
utils.utcnow = lambda: real_now() + timedelta(seconds=ahead_s)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
for line in sys.stdin:
    ahead_s += float(line)
    print("advanced", flush=True)
"""


@dataclass(frozen=True)
class MotoServer:
    """A running server.

    Attributes:
        url: Its endpoint, for all services.
    """

    url: str
    _process: "subprocess.Popen[str]"

    def advance(self, seconds: float) -> None:
        """Move its clock forward: leases, delays and long polls end as if that time had passed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "advanced\n"

    def reset(self) -> None:
        """Empty the account."""
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200


@contextmanager
def moto_server() -> Iterator[MotoServer]:
    """Run a server. It ends at the latest with this process, even if that is killed."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"},  # hundreds, with snapshots
        text=True,
    )
    with process:
        assert process.stdout
        try:
            port = process.stdout.readline().strip()
            assert port, "the moto server did not start"
            yield MotoServer(f"http://127.0.0.1:{port}", process)
        finally:
            process.kill()
