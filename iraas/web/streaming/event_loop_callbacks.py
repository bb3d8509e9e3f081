"""Carrying calls from other threads onto the event loop, many in one wake-up."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable


class EventLoopCallbacks:
    """Runs functions on an event loop, in the order in which they were posted.

    Args:
        loop: The loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._is_called = False

    def post(self, call: Callable[[], None]) -> None:
        """Have a function run on the loop soon. From any thread; a closed loop runs nothing."""
        self._calls.append(call)
        if not self._is_called:
            self._is_called = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._run)

    def _run(self) -> None:
        # First the flag, then the calls: what is posted meanwhile is run now or calls again.
        self._is_called = False
        while self._calls:
            self._calls.popleft()()
