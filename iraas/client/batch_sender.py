"""Batching the sends of many requesters at once: by count, by bytes, and by a few milliseconds.

A durable send costs nearly the same for one image as for fifty. While batches are being sent, the
next one gathers by itself; when nothing is being sent, the first image waits a moment for others.
A send mostly waits for the disk or the network, so that a few batches are on their way at once.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from iraas.client.sender import ImageUpload, Sender
from iraas.core.ports import Backend
from iraas.errors import IraasError

log = logging.getLogger(__name__)
JOIN_S = 10.0


def _nothing() -> None:
    """What most parcels need done before they are sent."""


@dataclass(frozen=True, slots=True)
class PendingSend:
    """An image on its way to the queue.

    Attributes:
        sender: Makes its message.
        image: The image, checked.
        sent: Called once, from the batcher's thread: with None when the request is stored durably,
            or with what went wrong. It must not block, nor raise.
        before: Done before its batch is sent; the same function for many parcels is done once.
    """

    sender: Sender
    image: ImageUpload
    sent: Callable[[Exception | None], None]
    before: Callable[[], None] = _nothing


class BatchSender:
    """Sends parcels in batches, from threads of its own. `put` may be called from any thread.

    Args:
        backend: The deployment.
        max_images: Images in one batch at most.
        max_bytes: Bytes of images at which a batch is full.
        linger_s: How long a batch waits for more, in seconds.
        threads: Batches on their way at once.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        max_images: int = 64,
        max_bytes: int = 8_000_000,
        linger_s: float = 0.003,
        threads: int = 3,
    ) -> None:
        self._backend = backend
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._linger_s = linger_s
        self._parcels: queue.SimpleQueue[PendingSend | None] = queue.SimpleQueue()
        self._gathering = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"send-batcher-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def put(self, parcels: Sequence[PendingSend]) -> None:
        """Hand parcels over; returns at once."""
        for parcel in parcels:
            self._parcels.put(parcel)

    def stop(self) -> None:
        """Send what was handed over, then end. Bounded by the backend's own bounds."""
        self._parcels.put(None)
        until = time.monotonic() + JOIN_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        going_on = True
        while going_on:
            with self._gathering:  # one at a time, so that batches are full rather than many
                batch, going_on = self._gather()
            if batch:
                self._send(batch)
            del batch  # or its images stay in memory until the next one is there
        self._parcels.put(None)  # for the other threads

    def _gather(self) -> tuple[list[PendingSend], bool]:
        """Wait for a batch; False beside it once there will be no more."""
        first = self._parcels.get()
        if first is None:
            return [], False
        batch, size_bytes = [first], len(first.image.data)
        until = time.monotonic() + self._linger_s
        while len(batch) < self._max_images and size_bytes < self._max_bytes:
            try:
                left_s = until - time.monotonic()
                more = (
                    self._parcels.get(timeout=left_s) if left_s > 0 else self._parcels.get_nowait()
                )
            except queue.Empty:
                break
            if more is None:
                return batch, False
            batch.append(more)
            size_bytes += len(more.image.data)
        return batch, True

    def _send(self, batch: list[PendingSend]) -> None:
        error: Exception | None = None
        try:
            for before in {parcel.before for parcel in batch}:
                before()
            packed = [parcel.sender.pack([parcel.image]) for parcel in batch]
            large = [one for objects, _ in packed for one in objects]
            if large:
                self._backend.inputs.put_if_absent(large)
            self._backend.requests.send([one for _, messages in packed for one in messages])
        except (IraasError, OSError, ValueError) as exc:
            log.warning("could not send %d images: %s", len(batch), exc)
            error = exc
        for parcel in batch:
            parcel.sent(error)
