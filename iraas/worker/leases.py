"""Keeping leases alive while their messages are worked on."""

import logging
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from iraas.core.ports import Queue
from iraas.errors import BackendError

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Extends the leases of the messages in hand, from a thread of its own. Thread-safe.

    It extends each time a third of the lease has passed, so that one failed call costs no lease.
    A process that is paused past its leases loses them, as it should: somebody else takes over.
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

    def hold(self, receipts: Sequence[str]) -> None:
        """Start to keep these leases alive."""
        with self._lock:
            self._receipts.update(dict.fromkeys(receipts))

    def let_go(self, receipts: Sequence[str]) -> None:
        """Stop to keep these leases alive."""
        with self._lock:
            for receipt in receipts:
                self._receipts.pop(receipt, None)

    def held(self) -> list[str]:
        """The receipts of all that is in hand."""
        with self._lock:
            return list(self._receipts)

    def _run(self) -> None:
        while not self._stopped.wait(self._lease_s / 3):
            receipts = self.held()
            if not receipts:
                continue
            try:
                self._queue.extend(receipts, self._lease_s)
            except BackendError as exc:
                log.warning("could not extend %d leases: %s", len(receipts), exc)
