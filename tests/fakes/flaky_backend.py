"""The memory backend, with stores and a request queue that fail on demand."""

from collections.abc import Callable, Sequence

from iraas.backends.memory import MemoryBackend, MemoryQueue, MemoryStore
from iraas.core.ports import OutboundMessage, QueueDepth, ReceivedMessage
from iraas.errors import BackendUnavailableError


class FlakyStore(MemoryStore):
    """A store whose next calls can be made to fail.

    Attributes:
        failures: How many of the next calls fail.
    """

    failures = 0

    def _maybe_fail(self) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise BackendUnavailableError("the store is unavailable for a moment")

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
    """A queue whose next receives or sends can be made to fail, and whose counts may lag.

    Attributes:
        failures: How many of the next calls fail.
        asked: The number of messages that each receive asked for.
        lag_s: The maximum age of its counts, in seconds.
        seems_empty: Whether its counts report an empty queue.
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
            raise BackendUnavailableError("the queue is unavailable for a moment")


class FlakyBackend(MemoryBackend):
    """A memory backend whose stores and request queue can be made to fail."""

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
