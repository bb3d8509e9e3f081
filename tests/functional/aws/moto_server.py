"""A moto server in a process of its own, on a loopback port that the system chooses."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PROGRAM = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def moto_server() -> Iterator[str]:
    """Run a server and give its URL. It ends with this process at the latest, however that ends."""
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with server:
        assert server.stdin
        assert server.stdout
        try:
            port = server.stdout.readline().strip()
            assert port, "the moto server did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stdin.close()
            server.kill()
