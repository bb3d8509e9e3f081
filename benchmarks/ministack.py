"""An emulator of SQS and S3 that is fast enough to measure against, in an environment of its own.

ministack pins botocore, so it never shares an environment with iraas: it is installed on first use
into a virtual environment in the user's cache.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

VERSION = "1.5.33"
START_S = 60.0


@contextmanager
def running_ministack() -> Iterator[str]:
    """Run the emulator on a free port of the loopback interface; gives its address."""
    home = Path(platformdirs.user_cache_dir("iraas")) / "ministack-venv"
    if not (home / "bin" / "ministack").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "pip"), "install", "--quiet", f"ministack=={VERSION}"]
        subprocess.run(pip, check=True)
    port = _free_port()
    environment = os.environ | {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "ERROR",
    }
    command = [str(home / "bin" / "ministack")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, server)
            yield url
        finally:
            server.terminate()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"ministack did not start within {START_S} s")
