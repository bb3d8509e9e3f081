"""Admission control: the request rate of one client, and the backlog of the whole deployment.

Used from the event loop alone, except for `BacklogLimiter.record_depth`.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Self

from iraas.web.config import WebConfig
from iraas.web.problems import Problem, busy

MAX_CLIENTS = 10_000
MAX_RETRY_S = 60.0


class RateLimiter:
    """One token bucket for each client.

    Args:
        per_s: Sustained rate, in requests per second.
        burst: Bucket size: requests allowed at once.
        now: Returns monotonic seconds.
    """

    def __init__(self, per_s: float, burst: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def acquire(self, client: str) -> float:
        """Take a token of a client.

        Returns:
            0 if the request is admitted, otherwise the seconds after which to retry.
        """
        now = self._now()
        tokens = self._tokens(client, now)
        is_admitted = tokens >= 1
        self._buckets.pop(client, None)
        self._buckets[client] = (tokens - 1 if is_admitted else tokens, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if is_admitted else (1 - tokens) / self._per_s

    def peek(self, client: str) -> float:
        """Return what `acquire` would return, without taking a token."""
        tokens = self._tokens(client, self._now())
        return 0.0 if tokens >= 1 else (1 - tokens) / self._per_s

    def _tokens(self, client: str, now: float) -> float:
        tokens, at = self._buckets.get(client, (self._burst, now))
        return min(self._burst, tokens + (now - at) * self._per_s)


class AdmittedImages:
    """Images admitted by `BacklogLimiter.admit`, as a context manager.

    Images that were not recorded as sent by the end of the ``with`` block no longer count.
    """

    def __init__(self, limiter: "BacklogLimiter", images: int) -> None:
        self._limiter = limiter
        self._unsent = images

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._limiter.release(self._unsent)
        self._unsent = 0

    def record_sent(self, images: int) -> None:
        """Record that so many of the images are on the queue; allowed after the block too."""
        self._limiter.record_accepted(images)
        sent = min(images, self._unsent)
        self._unsent -= sent
        self._limiter.release(sent)


class BacklogLimiter:
    """Limits the images without an outcome in the whole deployment.

    The queue's depth is sampled periodically; images accepted since the last sample are added, so
    that a burst between two samples counts too. The state is derived from the queue: it is correct
    after a restart and with several web processes.

    Args:
        limits: The configured limits.
    """

    def __init__(self, limits: WebConfig) -> None:
        self._limits = limits
        self._admitted = 0
        self._depth = 0
        self._accepted = 0
        self._accepted_at_sample = 0
        self._images_per_s = 0.0

    @property
    def pending(self) -> int:
        """Approximate number of images without an outcome."""
        return self._admitted + self._depth + self._accepted - self._accepted_at_sample

    @property
    def accepted(self) -> int:
        """Images put on the queue since the start."""
        return self._accepted

    @property
    def is_full(self) -> bool:
        """True if no more images are admitted for now."""
        return self.pending >= self._limits.max_pending

    def admit(self, images: int) -> AdmittedImages:
        """Admit images, checking the limit in the same step.

        The images of one call may exceed the limit together.

        Raises:
            Problem: Too many images are pending (429).
        """
        self.check()
        self._admitted += images
        return AdmittedImages(self, images)

    def release(self, images: int) -> None:
        """Stop counting admitted images: they are on the queue, or will never be."""
        self._admitted -= images

    def record_accepted(self, images: int) -> None:
        """Record that images are on the queue."""
        self._accepted += images

    def record_depth(self, depth: int, accepted_before: int) -> None:
        """Record a sample of the queue's depth. Thread-safe.

        Args:
            depth: Messages on the queue.
            accepted_before: The value of `accepted` before the queue was asked.
        """
        self._depth = depth
        self._accepted_at_sample = accepted_before

    def record_rate(self, images_per_s: float) -> None:
        """Record the throughput of the workers, for the estimate in `Retry-After`."""
        self._images_per_s = images_per_s

    def check(self) -> None:
        """Reject a request early. Only `admit` is binding.

        Raises:
            Problem: Too many images are pending (429).
        """
        if self.is_full:
            raise self.full_problem()

    def full_problem(self) -> Problem:
        """Return the problem for a full backlog, with an estimate of when to retry."""
        excess = self.pending - int(0.9 * self._limits.max_pending)
        retry_s = excess / self._images_per_s if self._images_per_s else 5.0
        return busy(
            f"{self.pending} images are waiting for their outcome, and "
            f"{self._limits.max_pending} is the limit",
            min(retry_s, MAX_RETRY_S),
        )


def too_large(detail: str) -> Problem:
    """Return the problem for a body over a limit; the connection is closed after it."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        detail,
        code="body-too-large",
        headers={"Connection": "close"},
    )
