"""Batching the sends of many concurrent requesters: by count, by bytes, and by time.

A durable send costs nearly the same for one image as for fifty. While batches are being sent, the
next one accumulates; when nothing is being sent, the first image waits a few milliseconds for
others. A send is mostly I/O wait, so that a few batches are sent in parallel.
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
    """Do nothing: the default of `PendingSend.before`."""


@dataclass(frozen=True, slots=True)
class PendingSend:
    """An image to be sent.

    Attributes:
        sender: Encodes its message.
        image: The validated image.
        on_sent: Called once, from one of the batch sender's threads: with None when the request is
            stored durably, or with the error. It must not block or raise.
        before: Called before the batch is sent; once per batch if several images share it.
    """

    sender: Sender
    image: ImageUpload
    on_sent: Callable[[Exception | None], None]
    before: Callable[[], None] = _nothing


class BatchSender:
    """Sends images in batches, from threads of its own. `put` is thread-safe.

    Args:
        backend: The deployment.
        max_images: The maximum number of images in a batch.
        max_bytes: The size of images, in bytes, at which a batch is full.
        linger_s: How long a batch waits for more images, in seconds.
        threads: The number of batches sent in parallel.
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
        self._pending: queue.SimpleQueue[PendingSend | None] = queue.SimpleQueue()
        self._gathering = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"batch-sender-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def put(self, sends: Sequence[PendingSend]) -> None:
        """Enqueue images to be sent; returns at once."""
        for send in sends:
            self._pending.put(send)

    def stop(self) -> None:
        """Send what is enqueued, then end the threads. Bounded by the backend's own timeouts."""
        self._pending.put(None)
        until = time.monotonic() + JOIN_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        going_on = True
        while going_on:
            with self._gathering:  # one at a time, for few full batches instead of many small ones
                batch, going_on = self._gather()
            if batch:
                self._send(batch)
            del batch  # otherwise its images stay in memory until the next batch
        self._pending.put(None)  # for the other threads

    def _gather(self) -> tuple[list[PendingSend], bool]:
        """Wait for a batch; return it, and whether there may be another one."""
        first = self._pending.get()
        if first is None:
            return [], False
        batch, size_bytes = [first], len(first.image.data)
        until = time.monotonic() + self._linger_s
        while len(batch) < self._max_images and size_bytes < self._max_bytes:
            try:
                left_s = until - time.monotonic()
                more = (
                    self._pending.get(timeout=left_s) if left_s > 0 else self._pending.get_nowait()
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
            for before in {send.before for send in batch}:
                before()
            packed = [send.sender.pack([send.image]) for send in batch]
            large = [image for objects, _ in packed for image in objects]
            if large:
                self._backend.inputs.put_if_absent(large)
            self._backend.requests.send([message for _, messages in packed for message in messages])
        except (IraasError, OSError, ValueError) as exc:
            log.warning("could not send %d images: %s", len(batch), exc)
            error = exc
        for send in batch:
            send.on_sent(error)
