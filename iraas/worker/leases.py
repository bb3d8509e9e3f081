"""Extending the leases of the messages in flight."""

import logging
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from iraas.core.ports import Queue
from iraas.errors import BackendError

log = logging.getLogger(__name__)


class LeaseExtender:
    """Extends the leases of the messages in flight, in a thread of its own. Thread-safe.

    Use it as a context manager: the thread runs inside the block. It extends every third of the
    lease, so that one failed call loses none. A process that is paused for longer than its leases
    loses them, as it should: another worker receives the messages.

    Args:
        queue: The queue of the messages.
        lease_s: Seconds for which a lease is granted, and extended.
    """

    def __init__(self, queue: Queue, lease_s: float) -> None:
        self._queue = queue
        self._lease_s = lease_s
        self._receipts: dict[str, None] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join(timeout=self._lease_s)

    def add(self, receipts: Sequence[str]) -> None:
        """Start extending these leases. Idempotent."""
        with self._lock:
            self._receipts.update(dict.fromkeys(receipts))

    def remove(self, receipts: Sequence[str]) -> None:
        """Stop extending these leases; unknown receipts are ignored. Idempotent."""
        with self._lock:
            for receipt in receipts:
                self._receipts.pop(receipt, None)

    def receipts(self) -> list[str]:
        """The receipts whose leases are extended, in the order in which they were added."""
        with self._lock:
            return list(self._receipts)

    def _run(self) -> None:
        while not self._stopped.wait(self._lease_s / 3):
            receipts = self.receipts()
            if not receipts:
                continue
            try:
                self._queue.extend(receipts, self._lease_s)
            except BackendError as exc:
                log.warning("could not extend %d leases: %s", len(receipts), exc)
