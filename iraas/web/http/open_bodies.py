"""The bodies that are being read: when the server stops, none of them may hold it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from iraas.web.problems import Problem

RETRY_S = 5


class OpenBodies:
    """Ends the waits for more of any body. Used from the event loop alone."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()
        self.are_over = False

    @contextmanager
    def waiting(self, wait: asyncio.Timeout) -> Iterator[None]:
        """While this lasts, `end` lets that time run out."""
        self._waits.add(wait)
        try:
            yield
        finally:
            self._waits.discard(wait)

    def end(self) -> None:
        """From now on nobody waits for a body."""
        self.are_over = True
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(now)


def stopping() -> Problem:
    """Say that the server stops."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the server is stopping",
        code="stopping",
        remedy=f"Try again in {RETRY_S} s: what was not accepted, and no more.",
        headers={"Retry-After": str(RETRY_S), "Connection": "close"},
    )
