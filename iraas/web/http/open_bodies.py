"""The bodies being read: when the server stops, none of them may delay it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from iraas.web.problems import Problem

RETRY_S = 5


class OpenBodies:
    """Ends the waits for further bytes of all bodies. Used from the event loop alone."""

    def __init__(self) -> None:
        self._timeouts: set[asyncio.Timeout] = set()
        self.is_stopping = False

    @contextmanager
    def waiting(self, timeout: asyncio.Timeout) -> Iterator[None]:
        """Register a timeout, which `end` expires, for the duration of a ``with`` block."""
        self._timeouts.add(timeout)
        try:
            yield
        finally:
            self._timeouts.discard(timeout)

    def end(self) -> None:
        """Expire all registered timeouts; from now on no body is waited for."""
        self.is_stopping = True
        now = asyncio.get_running_loop().time()
        for timeout in self._timeouts:
            if not timeout.expired():
                timeout.reschedule(now)


def stopping() -> Problem:
    """Return the problem for a request interrupted by the server's shutdown."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the server is stopping",
        code="stopping",
        remedy=f"Try again in {RETRY_S} s: send only what was not accepted.",
        headers={"Retry-After": str(RETRY_S), "Connection": "close"},
    )
