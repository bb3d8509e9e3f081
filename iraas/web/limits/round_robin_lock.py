"""A lock that is passed on to the waiting groups in turn."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MAX_WAITING = 1000


class RoundRobinLock:
    """A fair lock: groups of waiters take turns, each in order of arrival.

    Used from the event loop alone.

    Args:
        max_waiting: Waiters allowed at once.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting = 0
        self._is_locked = False
        self._groups: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, group: str, within_s: float) -> AsyncIterator[None]:
        """Hold the lock for the duration of an ``async with`` block.

        Args:
            group: The group to wait with.
            within_s: Seconds to wait at most.

        Raises:
            TimeoutError: The lock was not free in time, or too many wait for it.
        """
        await self._acquire(group, within_s)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, group: str, within_s: float) -> None:
        if not self._is_locked:
            self._is_locked = True
            return
        if self._waiting >= self._max_waiting:
            raise TimeoutError("too many wait for their turn")
        waiter = asyncio.get_running_loop().create_future()
        self._groups.setdefault(group, deque()).append(waiter)
        self._waiting += 1
        try:
            async with asyncio.timeout(within_s):
                await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self._release()  # the lock was passed on in the moment of giving up
            raise
        finally:
            self._waiting -= 1

    def _release(self) -> None:
        while self._groups:
            group, waiters = self._groups.popitem(last=False)
            waiter = waiters.popleft()
            if waiters:
                self._groups[group] = waiters
            if not waiter.done():
                waiter.set_result(None)
                return
        self._is_locked = False
