"""The local backend: a deployment is one folder.

::

    <home>/<deployment>/queues/requests.db, dead-letters.db     SQLite queues
                        queues/responses/<requester>/           one queue per requester
                        inputs/  outputs/  records/             directory stores, see core.keys
                        inputs.usage                            size of the input store
                        fleet/slot-NN.lock, slot-NN.json        slots of the workers
                        fleet/logs/<worker>.log, .log.1         output of the workers; bounded
                        controller.lock, controller.json        lease of the controller
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from iraas.backends.local.controller_lease import FileLease
from iraas.backends.local.directory_store import DirectoryStore
from iraas.backends.local.disk_usage import LocalStorage, UsageCounter, allocated
from iraas.backends.local.provisioning import LocalProvisioning
from iraas.backends.local.response_queues import SqliteResponseQueues
from iraas.backends.local.sqlite_queue import MAX_BODY_BYTES, SqliteQueue
from iraas.backends.local.subprocess_fleet import SubprocessFleet
from iraas.core.ids import is_plain_name
from iraas.core.ports import NoCost

MAX_RECEIVES = 20
"""How often a request is delivered. Workers fail an image much sooner, with an outcome; this limit
applies to requests that never get that far."""


class LocalBackend:
    """The `Backend` port on one machine.

    Opening one touches nothing. Every write makes the folders that it needs, so that a deployment
    works without being provisioned.

    Thread-safe. Processes and forks may each open the same folder.
    """

    name = "local"

    def __init__(
        self,
        home: Path,
        deployment: str,
        *,
        capacity: int = 1,
        worker_command: Sequence[str] = (),
        worker_environment: Mapping[str, str] | None = None,
        max_receives: int = MAX_RECEIVES,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Compose the backend of a deployment.

        Args:
            home: The folder of all deployments.
            deployment: The deployment's name; a plain name.
            capacity: The most workers, at least 1.
            worker_command: The command line of a worker; ``--worker-id`` and its id are appended.
            worker_environment: The workers' environment; this process's own if None.
            max_receives: How often a request is delivered before it becomes a dead letter.
            max_body_bytes: The longest message body, in bytes of UTF-8.
            clock: Returns seconds since the epoch.

        Raises:
            ValueError: The deployment's name is not a plain name.
        """
        if not is_plain_name(deployment):
            raise ValueError(f"{deployment[:80]!r} is not a deployment's name")
        self.folder = folder = home / deployment
        queues = folder / "queues"
        self.dead_letters = SqliteQueue(
            queues / "dead-letters.db", max_body_bytes=max_body_bytes, clock=clock
        )
        self.requests = SqliteQueue(
            queues / "requests.db",
            max_receives=max_receives,
            dead_letters=self.dead_letters,
            max_body_bytes=max_body_bytes,
            clock=clock,
        )
        self.responses = SqliteResponseQueues(
            queues / "responses", max_body_bytes=max_body_bytes, clock=clock
        )
        self.pricing = NoCost()
        counter = UsageCounter(folder / "inputs.usage")
        self.inputs = DirectoryStore(folder / "inputs", on_change=counter.add)
        self.outputs = DirectoryStore(folder / "outputs")
        self.records = DirectoryStore(folder / "records")
        self.storage = LocalStorage(
            folder,
            counter,
            lambda: sum(allocated(found.size_bytes) for found in self.inputs.list()),
            (self.requests.path, self.dead_letters.path),
        )
        self.fleet = SubprocessFleet(
            folder / "fleet",
            capacity=capacity,
            command=worker_command,
            environment=worker_environment,
            clock=clock,
        )
        self.lease = FileLease(folder / "controller.lock", clock=clock)
        self.provisioning = LocalProvisioning(
            folder=folder,
            queues={"requests": self.requests, "dead-letters": self.dead_letters},
            responses=self.responses,
            stores={"inputs": self.inputs, "outputs": self.outputs, "records": self.records},
            fleet=self.fleet,
            lease=self.lease,
            close=self._close_queues,
        )

    def close(self) -> None:
        """Close connections and files, forget the workers, release the lease. Idempotent."""
        self._close_queues()
        self.fleet.close()
        self.lease.release()

    def _close_queues(self) -> None:
        self.requests.close()
        self.dead_letters.close()
