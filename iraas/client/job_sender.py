"""Sending a whole job in the background, with a bounded number of outstanding requests."""

import queue
import threading
from collections.abc import Callable, Iterable

from iraas.client.outcome_ledger import OutcomeLedger
from iraas.client.sender import ImageUpload, Sender, read_image
from iraas.client.storage_guard import StorageGuard, StorageLimits
from iraas.core.ids import request_id
from iraas.core.jobs import ManifestEntry
from iraas.core.outcomes import Outcome
from iraas.core.ports import Backend
from iraas.errors import ImageError, IraasError
from iraas.jobs.store import find_input

SEND_IMAGES = 16
SEND_BYTES = 8_000_000


class JobSender:
    """Sends those images of a job that have no outcome yet.

    The window bounds the number of outstanding requests, so that neither the queue nor the time to
    drain it grows with the job. One thread sends (`send_all`, or the one that `start` creates),
    another one may call `conclude` and `take_refused` meanwhile.

    Args:
        backend: The deployment.
        sender: Sends images of the job.
        concluded: The requests that have an outcome; call `conclude` for each further one.
        window: The maximum number of requests sent and not concluded.
        max_image_bytes: The maximum file size, in bytes.
        storage: The limits for the disk space of images.
    """

    def __init__(
        self,
        backend: Backend,
        sender: Sender,
        concluded: OutcomeLedger,
        *,
        window: int,
        max_image_bytes: int,
        storage: StorageLimits | None = None,
    ) -> None:
        self._backend = backend
        self._sender = sender
        self._concluded = concluded
        self._window = window
        self._max_image_bytes = max_image_bytes
        self._guard = StorageGuard(backend.storage, storage or StorageLimits())
        self._sent = OutcomeLedger(concluded.total)
        self._outstanding = 0
        self._stopped = False
        self._waiting = False
        self._changed = threading.Condition()
        self._refused: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    @property
    def is_sending(self) -> bool:
        """Whether the background thread is running: there is more to send."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def outstanding(self) -> int:
        """The number of requests that were sent and are not concluded."""
        return self._outstanding

    def start(self, entries: Iterable[ManifestEntry]) -> None:
        """Send images in a background thread; those that are concluded are skipped."""
        self._thread = threading.Thread(
            target=self._run, args=(entries,), name="job-sender", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop sending. Takes no lock, so that a signal handler may call it."""
        self._stopped = True

    def join(self, timeout_s: float) -> None:
        """Wait until the background thread ends, up to `timeout_s` seconds."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def conclude(self, index: int) -> None:
        """Record that the request at an index has its outcome."""
        with self._changed:
            if self._sent.has(index):
                self._outstanding -= 1
            self._changed.notify_all()

    @property
    def is_waiting(self) -> bool:
        """Whether sending is blocked because the window is full."""
        return self._waiting

    def forget_sent(self) -> None:
        """Count all outstanding requests as lost. Call it only while the queue is empty."""
        with self._changed:
            self._sent = OutcomeLedger(self._concluded.total)
            self._outstanding = 0
            self._changed.notify_all()

    def take_refused(self) -> list[Outcome]:
        """Return the outcomes of images that were refused since the last call.

        Raises:
            IraasError: Sending in the background failed.
        """
        if self._error is not None:
            raise self._error
        outcomes = []
        while not self._refused.empty():
            outcomes.append(self._refused.get())
        return outcomes

    def send_all(
        self, entries: Iterable[ManifestEntry], on_progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """Send images in batches, from the calling thread. Idempotent.

        Args:
            entries: The images; those that are concluded are skipped.
            on_progress: Called with the number of further images that were sent or refused.

        Raises:
            StorageFullError: The disk or the quota has no space for more images.
            BackendError: A store or the queue failed; sending all again does no harm.
        """
        send_images = min(SEND_IMAGES, self._window)
        batch: list[ImageUpload] = []
        for entry in entries:
            if self._stopped:
                break
            if self._concluded.has(entry.index):
                continue
            image = self._load(entry)
            if image is None:
                on_progress(1)
                continue
            batch.append(image)
            if len(batch) >= send_images or _size_bytes(batch) >= SEND_BYTES:
                self._send(batch)
                on_progress(len(batch))
                batch = []
        if batch and not self._stopped:
            self._send(batch)
            on_progress(len(batch))

    def _run(self, entries: Iterable[ManifestEntry]) -> None:
        try:
            self.send_all(entries)
        except (IraasError, OSError) as exc:
            self._error = exc

    def _load(self, entry: ManifestEntry) -> ImageUpload | None:
        """Read an image, or send the one in the input store if the file cannot be read."""
        try:
            data = read_image(entry.path, self._max_image_bytes, folder=entry.folder)
            return ImageUpload(entry.index, entry.name, data)
        except ImageError as exc:
            key = find_input(self._backend, request_id(self._sender.job_id, entry.index))
            if key is None:
                self._refused.put(self._sender.refuse(entry, exc))
            else:
                self._wait_for_window(1)
                self._sender.send_stored(entry, key)
                self._mark_sent([entry.index])
            return None

    def _send(self, batch: list[ImageUpload]) -> None:
        self._wait_for_window(len(batch))
        if not self._stopped:
            self._guard.take(_size_bytes(batch))
            self._mark_sent([image.index for image in batch])
            self._sender.send(batch)

    def _wait_for_window(self, images: int) -> None:
        with self._changed:
            while not self._stopped and self._outstanding > 0 and self._over_window(images):
                self._waiting = True
                self._changed.wait(0.5)
            self._waiting = False

    def _over_window(self, images: int) -> bool:
        return self._outstanding + images > self._window

    def _mark_sent(self, indexes: list[int]) -> None:
        with self._changed:
            for index in indexes:
                if self._sent.mark(index) and not self._concluded.has(index):
                    self._outstanding += 1


def _size_bytes(batch: list[ImageUpload]) -> int:
    return sum(len(image.data) for image in batch)
