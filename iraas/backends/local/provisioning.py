"""A local deployment's resources: one folder with the queues, stores, fleet and lease.

Unmanaged files in these folders stay: a teardown removes only files that the adapters could have
made, and empty folders. Links are removed, never followed.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from iraas.backends.local.controller_lease import FileLease
from iraas.backends.local.directory_store import DRAFTS, DirectoryStore
from iraas.backends.local.durable_files import make_folder, os_errors_translated, unmanaged_files
from iraas.backends.local.response_queues import SqliteResponseQueues
from iraas.backends.local.sqlite_queue import SqliteQueue
from iraas.backends.local.subprocess_fleet import SubprocessFleet
from iraas.core.keys import SHARD_SIZE
from iraas.core.ports import Resource
from iraas.errors import BackendError, BackendUnavailableError

_TEARDOWN_TIMEOUT_S = 10.0
_PAUSE_S = 0.02
_MAX_NAMES = 3
_DRAFT = re.compile(r"[0-9a-f]{20}")
_OURS = {
    "queues": re.compile(r"(requests|dead-letters)\.db(-wal|-shm)?"),
    "fleet": re.compile(r"slot-[0-9]+\.(lock|json)|\.slot-[0-9]+\.json\.[0-9a-f.]+"),
    "fleet/logs": re.compile(r"w-[0-9a-z]{8}\.log(\.1)?|\.w-[0-9a-z]{8}\.log\.1\.[0-9a-f.]+"),
    "": re.compile(r"inputs\.usage|controller\.(lock|json)|\.controller\.json\.[0-9a-f.]+"),
}


@dataclass(frozen=True, slots=True)
class LocalProvisioning:
    """The `Provisioning` port on a folder.

    Attributes:
        folder: The deployment's folder.
        queues: The request queue and the dead-letter queue, by their names for people.
        responses: The response queues, in ``queues/responses``.
        stores: The stores, by their names for people.
        fleet: The fleet, in ``fleet``.
        lease: The controller's lease; a teardown waits for it.
        close: Closes all files.
    """

    folder: Path
    queues: dict[str, SqliteQueue]
    responses: SqliteResponseQueues
    stores: dict[str, DirectoryStore]
    fleet: SubprocessFleet
    lease: FileLease
    close: Callable[[], None]

    def plan(self) -> list[Resource]:
        """The resources of the deployment, existing or not, with counts and sizes."""
        exists = self.folder.is_dir()
        return [
            Resource(
                "folder", str(self.folder), exists, detail=self._unmanaged_note(), is_data=True
            ),
            *(_queue_resource(name, queue) for name, queue in self.queues.items()),
            *(
                Resource("response queue", name, exists=True)
                for name in self.responses.requesters()
            ),
            *(_store_resource(name, store) for name, store in self.stores.items()),
            *(
                Resource("worker", instance.instance_id, exists=True, detail=instance.state.value)
                for instance in self.fleet.instances()
            ),
        ]

    def provision(self) -> None:
        """Make the folders and the queues. Idempotent."""
        self._check_folder()
        with os_errors_translated(self.folder):
            for store in self.stores.values():
                make_folder(store.root)
        for queue in self.queues.values():
            queue.make()

    def teardown(self, *, keep_data: bool = False) -> None:
        """End the workers, then remove the resources of the deployment. Idempotent.

        Args:
            keep_data: Whether to keep the stores.

        Raises:
            BackendUnavailableError: A controller is running, or a worker does not exit.
            BackendError: The deployment's folder is a link, so perhaps not ours.
        """
        self._check_folder()
        if not self.folder.is_dir():
            return
        self._take_lease()
        try:
            self._end_workers()
            self.close()
            with os_errors_translated(self.folder):
                self._remove(keep_data=keep_data)
        finally:
            self.lease.release()
        with os_errors_translated(self.folder):
            _remove_files(self.folder, _OURS[""])

    def _unmanaged_note(self) -> str:
        """A note about the files that a teardown keeps; empty if there are none."""
        skipped = [store.root for store in self.stores.values() if next(store.list(), None)]
        if any(self.responses.requesters()):
            skipped.append(self.folder / "queues" / "responses")
        ours = _OURS | {f"{store.root.name}/{DRAFTS}": _DRAFT for store in self.stores.values()}
        unmanaged = list(islice(unmanaged_files(self.folder, ours, skipped), _MAX_NAMES + 1))
        if not unmanaged:
            return ""
        names = ", ".join(str(path.relative_to(self.folder)) for path in unmanaged[:_MAX_NAMES])
        more = ", …" if len(unmanaged) > _MAX_NAMES else ""
        return f"unmanaged files, which a teardown leaves for you to remove: {names}{more}"

    def _check_folder(self) -> None:
        if self.folder.is_symlink():
            raise BackendError(
                f"{self.folder} is a link, which a deployment's folder must not be",
                remedy="Choose another folder with --home, or remove the link.",
            )

    def _take_lease(self) -> None:
        deadline = time.monotonic() + _TEARDOWN_TIMEOUT_S
        while not self.lease.hold():
            if time.monotonic() > deadline:
                raise BackendUnavailableError(
                    f"a controller is at work: {self.lease.holder()}",
                    remedy=f"End it, with {self.lease.how_to_end()}, then try again.",
                )
            time.sleep(_PAUSE_S)

    def _end_workers(self) -> None:
        deadline = time.monotonic() + _TEARDOWN_TIMEOUT_S
        while instances := self.fleet.instances():
            self.fleet.terminate([instance.instance_id for instance in instances])
            if time.monotonic() > deadline and self.fleet.instances():
                raise BackendUnavailableError(
                    f"{len(instances)} workers do not exit",
                    remedy="Kill these processes, then try again.",
                )

    def _remove(self, *, keep_data: bool) -> None:
        for requester_id in self.responses.requesters():
            self.responses.delete(requester_id)
        self.responses.sweep(0.0)
        queues = self.folder / "queues"
        _remove_folder(queues / "responses")
        _remove_files(queues, _OURS["queues"])
        _remove_files(self.fleet.root / "logs", _OURS["fleet/logs"])
        _remove_files(self.fleet.root, _OURS["fleet"])
        if not keep_data:
            for store in self.stores.values():
                _remove_store(store)


def _queue_resource(name: str, queue: SqliteQueue) -> Resource:
    if not queue.path.is_file():
        return Resource("queue", name, exists=False)
    size_bytes = sum(map(_size_bytes, queue.path.parent.glob(f"{queue.path.name}*")))
    detail = f"{queue.depth().total:,} messages, {size_bytes:,} bytes"
    return Resource("queue", name, exists=True, detail=detail)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # SQLite removes the files beside a database at its last close


def _store_resource(name: str, store: DirectoryStore) -> Resource:
    if not store.root.is_dir():
        return Resource("store", name, exists=False, is_data=True)
    count = size_bytes = 0
    for found in store.list():
        count += 1
        size_bytes += found.size_bytes
    detail = f"{count:,} objects, {size_bytes:,} bytes"
    return Resource("store", name, exists=True, detail=detail, is_data=True)


def _remove_store(store: DirectoryStore) -> None:
    if store.root.is_symlink():
        store.root.unlink()
        return
    keys: list[str] = []
    for found in store.list():
        keys.append(found.key)
        if len(keys) == SHARD_SIZE:
            store.delete(keys)
            keys.clear()
    store.delete(keys)
    _remove_files(store.root / DRAFTS, _DRAFT)
    _remove_folder(store.root)


def _remove_files(folder: Path, ours: re.Pattern[str]) -> None:
    """Remove the files of a folder whose names match, then the folder if it is empty."""
    if folder.is_symlink():
        return
    for path in _entries(folder):
        if ours.fullmatch(path.name) and (path.is_symlink() or path.is_file()):
            path.unlink(missing_ok=True)
    _remove_folder(folder)


def _remove_folder(folder: Path) -> None:
    """Remove a folder and its subfolders, as far as they are empty."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in _entries(folder):
        _remove_folder(path)
    try:
        folder.rmdir()
    except OSError:
        return  # it contains unmanaged files


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
