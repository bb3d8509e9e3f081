"""Runs commands in forks of one process that has the modules loaded: a real process without the
start of an interpreter. It is also the program of that process.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
PACKAGES = (
    "iraas.backends.local",
    "iraas.cli",
    "iraas.client",
    "iraas.controller",
    "iraas.jobs",
    "iraas.monitoring",
    "iraas.worker",
)
LIBRARIES = (
    "platformdirs.unix",
    "pydantic.fields",
    "pydantic.types",
    "rich.progress",
    "rich.table",
    "typer.rich_utils",
)


class Prefork:
    """A process that forks for each command. One command runs at a time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IRAAS_")}
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            cwd=ROOT,
            env=kept | {"LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        given: str,
        timeout_s: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``iraas`` with arguments to its end."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with tempfile.TemporaryDirectory() as files:
            paths = [Path(files, name) for name in ("stdin", "stdout", "stderr")]
            paths[0].write_text(given, errors="surrogateescape")
            request = {
                "arguments": [os.fsencode(one).hex() for one in arguments],
                "folder": str(folder),
                "environment": dict(environment),
                "files": [str(path) for path in paths],
                "timeout_s": timeout_s,
            }
            with self._lock:
                self._server.stdin.write(json.dumps(request) + "\n")
                self._server.stdin.flush()
                code = self._server.stdout.readline()
            assert code, "the process that forks has ended"
            stdout, stderr = (
                path.read_bytes().decode(errors="surrogateescape") for path in paths[1:]
            )
        return subprocess.CompletedProcess(["iraas", *arguments], int(code), stdout, stderr)

    def close(self) -> None:
        """End the process. It has no other commands."""
        self._server.communicate()


@functools.cache
def preforked() -> Prefork:
    """The process of this test run, which ends with it."""
    one = Prefork()
    atexit.register(one.close)
    return one


def serve() -> dict[str, Any] | None:
    """Fork for each request. Returns the request in a fork, and None at the end of the input."""
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if not pid:
            return request
        signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))  # noqa: B023
        signal.alarm(int(request["timeout_s"]))
        _, status = os.waitpid(pid, 0)
        signal.alarm(0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201
    return None


def become(request: dict[str, Any]) -> None:
    """Make this fork the process that a shell would have started."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, path in enumerate(request["files"]):
        file = os.open(path, os.O_RDWR | os.O_CREAT | (os.O_APPEND if number else 0), 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["iraas", *(os.fsdecode(bytes.fromhex(one)) for one in request["arguments"])]


def load() -> None:
    """Import what commands import."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    for name in LIBRARIES:
        importlib.import_module(name)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    load()
    gc.freeze()  # a fork copies only what it writes to
    asked = serve()
    if asked is not None:
        become(asked)
        from iraas.__main__ import main

        main()
