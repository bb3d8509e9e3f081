"""Small real parts to run the services with: a clock, a classifier, stores that fail on demand."""

import threading
from collections.abc import Callable, Iterable, Sequence

from iraas.backends.memory import MemoryBackend, MemoryQueue, MemoryStore
from iraas.core.ids import request_id
from iraas.core.keys import outcome_key
from iraas.core.messages import Request, encode_request
from iraas.core.outcomes import LabelScore, Outcome, Prediction, decode_outcome
from iraas.core.ports import OutboundMessage, QueueDepth, ReceivedMessage
from iraas.errors import BackendUnavailableError, BrokenImageError, ImageError
from tests.waiting import PATIENCE_S

JOB = "01kb3v9x4q0000000000000000"
OTHER_JOB = "01kb3v9x4r0000000000000000"
REQUESTER = "submit-1"
MAGIC = b"\xff\xd8\xff"
BROKEN = MAGIC + b"broken"
LEASE_S = 30.0


class Clock:
    """A clock that only the test moves."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def image_bytes(label: str) -> bytes:
    """Bytes that sniff as a JPEG and that `ScriptedClassifier` classifies as that label."""
    return MAGIC + label.encode()


class ScriptedClassifier:
    """The `Classifier` port: a picture's label is written in its bytes.

    Attributes:
        batches: The labels of each call of `infer`.
        gate: `infer` waits until it is set.
        waiting: Set while `infer` waits for the gate.
    """

    model_id = "scripted@00000000"

    def __init__(self, batch_size: int = 1) -> None:
        self.batch_size = batch_size
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    def prepare(self, data: bytes) -> str:
        label = data.removeprefix(MAGIC).decode()
        if label == "broken":
            raise BrokenImageError("the picture is broken")
        return label

    def classify(self, images: Sequence[bytes]) -> list[Prediction | ImageError]:
        prepared = [self._try_to_prepare(image) for image in images]
        good = [one for one in prepared if isinstance(one, str)]
        predictions = iter(self.infer(good) if good else [])
        return [one if isinstance(one, ImageError) else next(predictions) for one in prepared]

    def _try_to_prepare(self, data: bytes) -> str | ImageError:
        try:
            return self.prepare(data)
        except ImageError as exc:
            return exc

    def infer(self, batch: Sequence[str]) -> list[Prediction]:
        self.waiting.set()
        assert self.gate.wait(PATIENCE_S), "the test never opened the gate"
        self.waiting.clear()
        self.batches.append(list(batch))
        return [Prediction((LabelScore(label, 0.9),)) for label in batch]


class FlakyStore(MemoryStore):
    """A store of which the next calls fail.

    Attributes:
        failures: How many calls are still to fail.
    """

    failures = 0

    def _maybe_fail(self) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise BackendUnavailableError("the store is away for a moment")

    def put(self, key: str, data: bytes) -> None:
        self._maybe_fail()
        super().put(key, data)

    def put_if_absent(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        self._maybe_fail()
        return super().put_if_absent(objects)

    def get(self, key: str) -> bytes:
        self._maybe_fail()
        return super().get(key)


class FlakyQueue(MemoryQueue):
    """A queue of which the next receives or sends fail, and whose counts may lag.

    Attributes:
        failures: How many calls are still to fail.
        asked: How many messages each receive asked for.
        lag_s: How old its counts may be.
        seems_empty: Whether they have it empty.
    """

    failures = 0
    asked: list[int]
    lag_s = 0.0
    seems_empty = False

    @property
    def depth_lag_s(self) -> float:
        return self.lag_s

    def depth(self) -> QueueDepth:
        return QueueDepth(0, 0, 0) if self.seems_empty else super().depth()

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        self._maybe_fail()
        super().send(messages)

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        self._maybe_fail()
        self.asked = [*getattr(self, "asked", []), max_messages]
        return super().receive(max_messages, lease_s=lease_s, wait_s=wait_s)

    def _maybe_fail(self) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise BackendUnavailableError("the queue is away for a moment")


class FlakyBackend(MemoryBackend):
    """A memory backend whose parts can be told to fail."""

    requests: FlakyQueue
    inputs: FlakyStore
    outputs: FlakyStore
    records: FlakyStore

    def __init__(
        self, clock: Callable[[], float], *, max_receives: int = 20, max_body_bytes: int = 2**20
    ) -> None:
        super().__init__(clock=clock, max_receives=max_receives, max_body_bytes=max_body_bytes)
        self.requests = FlakyQueue(
            max_receives=max_receives,
            dead_letters=self.dead_letters,
            max_body_bytes=max_body_bytes,
            clock=clock,
        )
        self.inputs = FlakyStore(clock=clock)
        self.outputs = FlakyStore(clock=clock)
        self.records = FlakyStore(clock=clock)


def request(index: int, image: bytes | None = None, *, reply_to: str = REQUESTER) -> Request:
    """A request of `JOB`, its image inside."""
    image = image_bytes(f"label-{index}") if image is None else image
    return Request(request_id(JOB, index), f"picture-{index}.jpg", 1.0, reply_to, image)


def outcome(
    asked: Request, label: str | None = "cat", *, reason: str = "", worker: str = "w-1"
) -> Outcome:
    """An outcome of a request: a label, or a failure with a reason."""
    return Outcome(
        request_id=asked.request_id,
        job_id=asked.job_id,
        name=asked.name,
        prediction=Prediction((LabelScore(label, 0.9),)) if label else None,
        reason=reason,
        model="scripted@00000000",
        worker=worker,
        attempts=1,
        submitted_at=asked.submitted_at,
        completed_at=2.0,
    )


def send(backend: MemoryBackend, requests: Iterable[Request]) -> None:
    """Put requests on the request queue."""
    backend.requests.send([OutboundMessage(encode_request(one), group=JOB) for one in requests])


def receive(backend: MemoryBackend, count: int = 1) -> list[ReceivedMessage]:
    """Receive that many requests, no fewer."""
    messages = backend.requests.receive(count, lease_s=LEASE_S)
    assert len(messages) == count
    return messages


def stored(backend: MemoryBackend, index: int) -> Outcome:
    """The stored outcome of a request of `JOB`."""
    return decode_outcome(backend.outputs.get(outcome_key(request_id(JOB, index))))


def count_outcomes(backend: MemoryBackend) -> int:
    """How many outcomes are stored."""
    return sum(1 for _ in backend.outputs.list())
