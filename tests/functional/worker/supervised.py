"""Runs a supervisor over scripted children, for the tests, and prints ``up`` and its last record.

Arguments: the steps of its children as JSON, and its shutdown timeout in seconds.
"""

import json
import sys
import time
from pathlib import Path

from iraas.backends.memory import MemoryBackend
from iraas.core.records import decode_worker
from iraas.worker.child_process import ClassifierProcess
from iraas.worker.supervisor import Supervisor, SupervisorConfig

CHILD = [sys.executable, "-E", str(Path(__file__).with_name("scripted_child.py"))]


def child(steps: list[dict[str, object]]) -> ClassifierProcess:
    """Start a child that does these steps."""
    return ClassifierProcess(CHILD, json.dumps(steps).encode(), time.monotonic)


def main() -> None:
    steps, shutdown_timeout_s = json.loads(sys.argv[1]), float(sys.argv[2])
    backend = MemoryBackend()
    put = backend.records.put

    def announcing(key: str, data: bytes) -> None:
        put(key, data)
        if decode_worker(data).state == "running":
            print("up", flush=True)  # noqa: T201 - this is the program's output

    backend.records.put = announcing  # type: ignore[method-assign]
    supervisor = Supervisor(
        backend,
        "w-1",
        processes=1,
        start=lambda: child(steps),
        config=SupervisorConfig(
            shutdown_timeout_s=shutdown_timeout_s, idle_timeout_s=60.0, max_lifetime_s=30.0
        ),
    )
    print(supervisor.run().encode().decode())  # noqa: T201 - as above


if __name__ == "__main__":
    main()
