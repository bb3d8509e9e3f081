"""One turn at a time, shared fairly: those who wait get it group by group, in a circle."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MAX_WAITING = 1000


class RoundRobinLock:
    """Used from the event loop alone.

    Args:
        max_waiting: How many may wait.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting = 0
        self._is_taken = False
        self._groups: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, group: str, within_s: float) -> AsyncIterator[None]:
        """Wait for a turn, and have it.

        Raises:
            TimeoutError: It did not come in time, or too many wait.
        """
        await self._enter(group, within_s)
        try:
            yield
        finally:
            self._pass_on()

    async def _enter(self, group: str, within_s: float) -> None:
        if not self._is_taken:
            self._is_taken = True
            return
        if self._waiting >= self._max_waiting:
            raise TimeoutError("too many wait for their turn")
        mine = asyncio.get_running_loop().create_future()
        self._groups.setdefault(group, deque()).append(mine)
        self._waiting += 1
        try:
            async with asyncio.timeout(within_s):
                await mine
        except BaseException:
            if mine.done() and not mine.cancelled():
                self._pass_on()  # it came in the very moment of leaving
            raise
        finally:
            self._waiting -= 1

    def _pass_on(self) -> None:
        while self._groups:
            group, waiting = self._groups.popitem(last=False)
            one = waiting.popleft()
            if waiting:
                self._groups[group] = waiting
            if not one.done():
                one.set_result(None)
                return
        self._is_taken = False
