"""Who may come in: the rate of one client, and the room for all of them.

Used from the event loop alone, save `BacklogLimiter.sampled`.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Self

from iraas.web.config import WebConfig
from iraas.web.limits.client_quota import ClientQuota
from iraas.web.problems import Problem, busy

MAX_CLIENTS = 10_000
LONGEST_RETRY_S = 60.0


class RateLimiter:
    """A token bucket a client.

    Args:
        per_s: Requests per second in the long run.
        burst: Requests at once.
        now: Gives monotonic seconds.
    """

    def __init__(self, per_s: float, burst: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Let a request in: 0; or give back after how many seconds to come again."""
        now = self._now()
        tokens = self._tokens(client, now)
        allowed = tokens >= 1
        self._buckets.pop(client, None)
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._per_s

    def look(self, client: str) -> float:
        """What `take` would give back, without taking."""
        tokens = self._tokens(client, self._now())
        return 0.0 if tokens >= 1 else (1 - tokens) / self._per_s

    def _tokens(self, client: str, now: float) -> float:
        tokens, at = self._buckets.get(client, (self._burst, now))
        return min(self._burst, tokens + (now - at) * self._per_s)


class MemoryReservation:
    """The bytes that one request holds in memory; given back at the end of a ``with`` block."""

    def __init__(self, budget: "MemoryBudget", client: str) -> None:
        self._budget = budget
        self._client = client
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shrink(self._held)

    def grow(self, size_bytes: int) -> None:
        """Hold so many more.

        Raises:
            Problem: All requests together, or those of this client, hold too many.
        """
        if not self._budget.pool.take(self._client, size_bytes):
            raise _too_many_bytes()
        self._held += size_bytes

    async def grow_within(self, size_bytes: int, within_s: float) -> None:
        """Hold so many more, as soon as there is room for them.

        Raises:
            Problem: There is none in time.
        """
        if not await self._budget.pool.take_within(self._client, size_bytes, within_s):
            raise _too_many_bytes()
        self._held += size_bytes

    def shrink(self, size_bytes: int) -> None:
        """Hold so many fewer."""
        given = min(size_bytes, self._held)
        self._held -= given
        self._budget.released_bytes += given
        self._budget.pool.give(self._client, given)


class MemoryBudget:
    """The bytes that all requests together may hold in memory.

    Args:
        most_bytes: So many.
        share: The part of them that one client may have.

    Attributes:
        pool: Who holds how many.
        released_bytes: How many were given back since the start.
    """

    def __init__(self, most_bytes: int, share: float = 1.0) -> None:
        self.pool = ClientQuota(most_bytes, share)
        self.released_bytes = 0

    def lease(self, client: str = "") -> MemoryReservation:
        """A share for one request, empty at first."""
        return MemoryReservation(self, client)


class Admitted:
    """Images that were let in. Those that are not on the queue at the end of a ``with`` block
    leave their room to others.
    """

    def __init__(self, admission: "BacklogLimiter", images: int) -> None:
        self._admission = admission
        self._unsent = images

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._admission.give_back(self._unsent)
        self._unsent = 0

    def sent(self, images: int) -> None:
        """Take note that so many of them are on the queue; also after the block."""
        self._admission.accept(images)
        done = min(images, self._unsent)
        self._unsent -= done
        self._admission.give_back(done)


class BacklogLimiter:
    """Counts the images that wait for an outcome, in the whole deployment.

    The queue's depth is sampled now and then; what was accepted since is added, so that a burst
    between two samples is seen too. Nothing hangs on this process's memory: after a restart, and
    beside other processes, the queue tells.

    Args:
        limits: The bounds.
    """

    def __init__(self, limits: WebConfig) -> None:
        self.buffers = MemoryBudget(limits.max_buffered_bytes, limits.client_share)
        self._limits = limits
        self._admitted = 0
        self._depth = 0
        self._accepted = 0
        self._counted = 0
        self._images_per_s = 0.0

    @property
    def pending(self) -> int:
        """Images without an outcome, about."""
        return self._admitted + self._depth + self._accepted - self._counted

    @property
    def accepted(self) -> int:
        """Images put on the queue since the start."""
        return self._accepted

    @property
    def is_full(self) -> bool:
        """True if no more images are taken for now."""
        return self.pending >= self._limits.max_pending

    def take(self, images: int) -> Admitted:
        """Let images in, in one step with the look at the bound. Only the last ones may pass it:
        those that one request has in its hands.

        Raises:
            Problem: Too many images are pending.
        """
        self.check()
        self._admitted += images
        return Admitted(self, images)

    def give_back(self, images: int) -> None:
        """Take note that images that were let in are on the queue, or never will be."""
        self._admitted -= images

    def accept(self, images: int) -> None:
        """Take note that images are on the queue."""
        self._accepted += images

    def sampled(self, depth: int, accepted_before: int) -> None:
        """Take in the queue's depth, and how many had been accepted before it was asked for."""
        self._depth = depth
        self._counted = accepted_before

    def moves_at(self, images_per_s: float) -> None:
        """Take in how fast the backlog shrinks."""
        self._images_per_s = images_per_s

    def check(self) -> None:
        """Refuse early what could not be let in now. Nothing is taken by it: `take` decides.

        Raises:
            Problem: Too many images are pending.
        """
        if self.is_full:
            raise self.full()

    def full(self) -> Problem:
        """Say that too many images are pending."""
        over = self.pending - int(0.9 * self._limits.max_pending)
        retry_s = over / self._images_per_s if self._images_per_s else 5.0
        return busy(
            f"{self.pending} images are waiting for their outcome, and "
            f"{self._limits.max_pending} is the limit",
            min(retry_s, LONGEST_RETRY_S),
        )


def too_large(detail: str) -> Problem:
    """Say that a body is over a limit."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        detail,
        code="body-too-large",
        headers={"Connection": "close"},
    )


def _too_many_bytes() -> Problem:
    return busy("too many pictures are under way at once", 2.0)
