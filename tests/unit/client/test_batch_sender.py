"""Batching sends."""

import threading
import weakref
from collections.abc import Sequence

from iraas.client.batch_sender import BatchSender, PendingSend
from iraas.client.sender import ImageUpload, Sender
from iraas.core.jobs import Job
from iraas.core.ports import OutboundMessage
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import JOB, OTHER_JOB, receive
from tests.fakes.scripted_classifier import image_bytes
from tests.waiting import PATIENCE_S, wait_until


def sender(backend: FlakyBackend, job_id: str = JOB) -> Sender:
    job = Job(job_id, 0.0, 0, sealed=False)
    return Sender(backend, job, reply_to="web-1", clock=Clock())


def image(index: int, size: int = 10) -> ImageUpload:
    return ImageUpload(index, f"{index}.jpg", image_bytes("x" * size))


class Backend(FlakyBackend):
    """Records the size of each send, and blocks sends until released."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_waiting = threading.Event()
        send = self.requests.send

        def noted(messages: Sequence[OutboundMessage]) -> None:
            self.is_waiting.set()
            assert self.gate.wait(PATIENCE_S)
            self.sizes.append(len(messages))
            send(messages)

        self.requests.send = noted  # type: ignore[method-assign]


def test_images_queued_during_a_send_form_the_next_batch() -> None:
    backend = Backend()
    backend.gate.clear()
    batcher = BatchSender(backend, threads=1, linger_s=0)
    batcher.start()
    received: list[Exception | None] = []
    batcher.put([PendingSend(sender(backend), image(0), received.append)])
    assert backend.is_waiting.wait(PATIENCE_S)
    one, other = sender(backend), sender(backend, OTHER_JOB)
    batcher.put([PendingSend((one, other)[n % 2], image(n), received.append) for n in range(1, 31)])
    assert not received
    backend.gate.set()
    wait_until(lambda: len(received) == 31)
    batcher.stop()
    assert backend.sizes == [1, 30]
    assert received == [None] * 31


def test_a_batch_is_bounded_by_count_and_by_bytes() -> None:
    backend = Backend()
    backend.gate.clear()
    batcher = BatchSender(backend, threads=1, linger_s=0, max_images=4, max_bytes=1000)
    batcher.put([PendingSend(sender(backend), image(n), _ignored) for n in range(8)])
    batcher.put([PendingSend(sender(backend), image(n, 400), _ignored) for n in range(6)])
    backend.gate.set()
    batcher.start()
    batcher.stop()
    assert backend.sizes == [4, 4, 3, 3]


def test_large_images_are_stored_before_their_messages_are_sent() -> None:
    backend = FlakyBackend(Clock(), max_body_bytes=2000)
    batcher = BatchSender(backend)
    batcher.start()
    batcher.put([PendingSend(sender(backend), image(n, 9000), _ignored) for n in range(3)])
    batcher.stop()
    assert len(list(backend.inputs.list())) == 3
    assert len(receive(backend, 3)) == 3


def test_a_failed_send_is_reported_to_each_and_the_next_one_works() -> None:
    backend = FlakyBackend(Clock())
    backend.requests.failures = 1
    batcher = BatchSender(backend, threads=1)
    batcher.start()
    received: list[Exception | None] = []
    batcher.put([PendingSend(sender(backend), image(n), received.append) for n in range(2)])
    wait_until(lambda: len(received) == 2)
    assert all("unavailable" in str(one) for one in received)
    batcher.put([PendingSend(sender(backend), image(2), received.append)])
    batcher.stop()
    assert received[2] is None


def test_the_callback_before_a_send_runs_once_per_batch() -> None:
    backend = FlakyBackend(Clock())
    batcher = BatchSender(backend, threads=1)
    done: list[int] = []

    def before() -> None:
        done.append(backend.requests.depth().total)

    batcher.put([PendingSend(sender(backend), image(n), _ignored, before) for n in range(5)])
    batcher.start()
    batcher.stop()
    assert done == [0]


def _ignored(_: Exception | None) -> None:
    """Ignore the result."""


def test_sent_images_are_released_from_memory() -> None:
    batcher = BatchSender(Backend(), threads=1, linger_s=0)
    batcher.start()
    received: list[Exception | None] = []

    def callback(error: Exception | None) -> None:
        received.append(error)

    held = weakref.ref(callback)  # by the pending send, as its image is
    batcher.put([PendingSend(sender(Backend()), image(0), callback)])
    del callback
    wait_until(lambda: received and held() is None)
    batcher.stop()
