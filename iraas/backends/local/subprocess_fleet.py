"""A fleet of worker processes on this machine, one per slot.

A slot is a lock file. The launcher takes the lock and passes the open descriptor to the worker; the
system releases the lock when the last process with a copy has ended, for whatever reason, so that
no state can become stale. A file beside the lock, written before the worker is started, names the
instance; it is ignored while the lock is free. The processes of an instance are found by a variable
in their environment, which is set from the start and, unlike a pid, is never reused.
"""

import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from iraas.backends.local.controller_lease import is_locked, try_lock
from iraas.backends.local.durable_files import (
    make_folder,
    os_errors_translated,
    sweep_drafts,
    write_atomic,
)
from iraas.backends.local.instance_processes import end_processes
from iraas.backends.local.worker_log import LOG_ENV_VAR, rotate, rotated_path
from iraas.core.ids import ALPHABET, is_plain_name
from iraas.core.ports import Instance, InstanceState, Launch
from iraas.sandbox.environment import INSTANCE_ENV_VAR

SLOT_DESCRIPTOR = "IRAAS_SLOT_FD"
"""Holds the number of the slot's descriptor, in a worker's environment. A worker that passes the
descriptor to its child processes keeps the slot taken until they have exited too."""
_KEPT_LOGS = 50
_KEPT_LOG_BYTES = 20_000_000


class SubprocessFleet:
    """The `Fleet` port on subprocesses. Any number of processes may launch into the same folder.

    The workers outlive their launcher; `close` forgets them. Thread-safe.
    """

    def __init__(
        self,
        root: Path,
        *,
        capacity: int,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        shutdown_timeout_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Name the fleet's folder; nothing is touched yet.

        Args:
            root: The folder of the slots and of the workers' logs.
            capacity: The number of slots, at least 1.
            command: The command line of a worker; ``--worker-id`` and the id are appended.
            environment: The workers' environment; this process's own if None.
            shutdown_timeout_s: Seconds between SIGTERM and SIGKILL in `terminate`.
            clock: Returns seconds since the epoch.

        Raises:
            ValueError: The capacity is below 1.
        """
        if capacity < 1:
            raise ValueError(f"a fleet of {capacity} slots")
        self.root = root
        self._capacity = capacity
        self._command = tuple(command)
        self._environment = environment
        self._shutdown_timeout_s = shutdown_timeout_s
        self._clock = clock
        self._children: list[subprocess.Popen[bytes]] = []
        self._stopping: set[str] = set()
        self._lock = threading.Lock()

    @property
    def capacity(self) -> int:
        """The number of slots."""
        return self._capacity

    def launch(self, count: int) -> Launch:
        """Launch instances into free slots. See `iraas.core.ports.Fleet.launch`."""
        launched: list[str] = []
        if count < 1:
            return Launch(())
        shortfall = f"all {self._capacity} slots of this machine are taken"
        with self._lock, os_errors_translated(self.root):
            self._reap()
            make_folder(self._logs)
            try:
                for slot in self._slots():
                    if len(launched) < count:
                        launched += self._fill(slot)
            except OSError as exc:
                if not launched:
                    raise
                shortfall = f"{exc.filename or self._command[0]}: {exc.strerror or exc}"
            self._sweep_logs()
        return Launch(tuple(launched), shortfall if len(launched) < count else "")

    def instances(self) -> list[Instance]:
        """The instances that exist: those that hold a slot."""
        with self._lock, os_errors_translated(self.root):
            self._reap()
            found = [self._instance(slot) for slot in sorted(self.root.glob("slot-*.lock"))]
        instances = [instance for instance in found if instance is not None]
        self._stopping &= {instance.instance_id for instance in instances}
        return instances

    def non_worker_instances(self) -> list[Instance]:
        """None: whatever else runs on this machine costs nothing."""
        return []

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """End instances: SIGTERM first, SIGKILL after `shutdown_timeout_s` seconds.

        See `iraas.core.ports.Fleet.terminate`. Returns once they have exited, or a few seconds
        after SIGKILL.
        """
        existing = {instance.instance_id for instance in self.instances()} & set(instance_ids)
        if existing:
            self._stopping |= existing
            end_processes(
                existing,
                shutdown_timeout_s=self._shutdown_timeout_s,
                is_finished=lambda: self._have_ended(existing),
            )

    def close(self) -> None:
        """Forget the workers, which keep running. Idempotent."""
        with self._lock:
            self._reap()
            for child in self._children:
                child.returncode = 0  # else Popen would warn that it still runs
            self._children.clear()

    @property
    def _logs(self) -> Path:
        return self.root / "logs"

    def _slots(self) -> list[Path]:
        return [self.root / f"slot-{slot:02d}.lock" for slot in range(1, self._capacity + 1)]

    def _fill(self, slot: Path) -> list[str]:
        """Start an instance in a slot; its id, or an empty list if the slot is taken."""
        descriptor = try_lock(slot)
        if descriptor is None:
            return []
        try:
            return [self._start(slot, descriptor)]
        finally:
            os.close(descriptor)

    def _start(self, slot: Path, descriptor: int) -> str:
        instance_id = f"w-{''.join(secrets.choice(ALPHABET) for _ in range(8))}"
        record = {"instance_id": instance_id, "launched_at": self._clock()}
        write_atomic(_instance_file(slot), json.dumps(record).encode())
        environment = dict(os.environ if self._environment is None else self._environment)
        path = self._logs / f"{instance_id}.log"
        environment |= {INSTANCE_ENV_VAR: instance_id, SLOT_DESCRIPTOR: str(descriptor)}
        environment |= {LOG_ENV_VAR: str(path.absolute())}
        with path.open("ab") as log:
            child = subprocess.Popen(
                [*self._command, "--worker-id", instance_id],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(descriptor,),
            )
        self._children.append(child)
        return instance_id

    def _instance(self, slot: Path) -> Instance | None:
        if not is_locked(slot):
            return None
        try:
            record = json.loads(_instance_file(slot).read_bytes())
            instance_id, launched_at = str(record["instance_id"]), float(record["launched_at"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None  # its launcher holds the lock and has not written the file yet
        if not is_plain_name(instance_id):
            return None
        stopping = instance_id in self._stopping
        state = InstanceState.STOPPING if stopping else InstanceState.RUNNING
        return Instance(instance_id, state, launched_at, "process", "free")

    def _have_ended(self, instance_ids: set[str]) -> bool:
        return not instance_ids & {instance.instance_id for instance in self.instances()}

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]

    def _sweep_logs(self) -> None:
        found = [self._instance(slot) for slot in self._slots()]
        in_use = {f"{instance.instance_id}.log" for instance in found if instance is not None}
        logs = [log for log in self._logs.glob("w-*.log") if log.name not in in_use]
        logs.sort(key=lambda log: log.stat().st_mtime, reverse=True)
        size_bytes = 0
        for index, log in enumerate(logs):
            rotate(log)  # a killed worker did not
            size_bytes += _size_bytes(log) + _size_bytes(rotated_path(log))
            if index >= _KEPT_LOGS or size_bytes > _KEPT_LOG_BYTES:
                log.unlink(missing_ok=True)
                rotated_path(log).unlink(missing_ok=True)
        for folder in (self.root, self._logs):
            sweep_drafts(folder)


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _instance_file(slot: Path) -> Path:
    return slot.with_suffix(".json")
