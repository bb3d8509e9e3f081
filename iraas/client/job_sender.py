"""Sending a whole job, in the background and never too far ahead of its outcomes."""

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
    """Sends those images of a job that are not concluded.

    The window bounds how many requests are sent and not concluded, so that neither the queue nor
    the time to drain grows with the job.

    Args:
        backend: The deployment.
        sender: Sends images of the job.
        concluded: Which requests have an outcome; `conclude` is called for each that gets one.
        window: Requests sent and not concluded, at most.
        max_image_bytes: The largest file that is accepted.
        storage: The room that images may take.
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
        """True while there is more to send."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def outstanding(self) -> int:
        """Requests sent from here that are not concluded."""
        return self._outstanding

    def start(self, entries: Iterable[ManifestEntry]) -> None:
        """Send these in the background, those left out that are concluded."""
        self._thread = threading.Thread(
            target=self._run, args=(entries,), name="dispatch", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Send no more. Takes no lock, so that a signal handler may call it."""
        self._stopped = True

    def join(self, timeout_s: float) -> None:
        """Wait until nothing more is sent."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def conclude(self, index: int) -> None:
        """Take note that a request has its outcome."""
        with self._changed:
            if self._sent.has(index):
                self._outstanding -= 1
            self._changed.notify_all()

    @property
    def is_waiting(self) -> bool:
        """True while it has to wait for outcomes before it may send more."""
        return self._waiting

    def forget_sent(self) -> None:
        """Count what was sent as lost: once nothing is on the queue or in anybody's hands."""
        with self._changed:
            self._sent = OutcomeLedger(self._concluded.total)
            self._outstanding = 0
            self._changed.notify_all()

    def refused(self) -> list[Outcome]:
        """The outcomes of images that were not sent, since the last call.

        Raises:
            IraasError: Sending failed.
        """
        if self._error is not None:
            raise self._error
        outcomes = []
        while not self._refused.empty():
            outcomes.append(self._refused.get())
        return outcomes

    def send_all(
        self, entries: Iterable[ManifestEntry], sent: Callable[[int], None] = lambda _: None
    ) -> None:
        """Send images in batches, from this thread.

        Args:
            entries: What to send, those left out that are concluded.
            sent: Told how many more were dealt with, those included that are refused.

        Raises:
            StorageFullError: There is no room for more images.
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
                sent(1)
                continue
            batch.append(image)
            if len(batch) >= send_images or sum(len(one.data) for one in batch) >= SEND_BYTES:
                self._send(batch)
                sent(len(batch))
                batch = []
        if batch and not self._stopped:
            self._send(batch)
            sent(len(batch))

    def _run(self, entries: Iterable[ManifestEntry]) -> None:
        try:
            self.send_all(entries)
        except (IraasError, OSError) as exc:
            self._error = exc

    def _load(self, entry: ManifestEntry) -> ImageUpload | None:
        """Read an image; one that is not on this machine may be in the input store already."""
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
            self._guard.take(sum(len(one.data) for one in batch))
            self._mark_sent([one.index for one in batch])
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
