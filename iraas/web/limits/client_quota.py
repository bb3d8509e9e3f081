"""A limited resource shared by all clients, with a bound for each of them."""

import asyncio


class ClientQuota:
    """Counts units of a resource by client: bytes, event streams, connections.

    Used from the event loop alone.

    Args:
        total: Units available to all clients together.
        share: The fraction of them that one client may use, in 0..1; at least one unit.
    """

    def __init__(self, total: int, share: float) -> None:
        self._available = total
        self._max_per_client = max(1, int(total * share))
        self._used: dict[str, int] = {}
        self._waiters: set[asyncio.Future[None]] = set()

    def reserve(self, client: str, amount: int = 1) -> bool:
        """Reserve units for a client; False if the total or the client's share is exhausted.

        Check and reservation are one step: a separate check could be overtaken by others.
        """
        used = self._used.get(client, 0) + amount
        if amount > self._available or used > self._max_per_client:
            return False
        self._available -= amount
        self._used[client] = used
        return True

    def release(self, client: str, amount: int = 1) -> None:
        """Return units of a client, and wake up those that wait for some."""
        self._available += amount
        remaining = self._used.get(client, 0) - amount
        if remaining > 0:
            self._used[client] = remaining
        else:
            self._used.pop(client, None)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def reserve_within(self, client: str, amount: int, within_s: float) -> bool:
        """Reserve units as soon as possible; False after `within_s` seconds without success."""
        deadline = asyncio.get_running_loop().time() + within_s
        while not self.reserve(client, amount):
            try:
                async with asyncio.timeout_at(deadline):
                    await self._next_release()
            except TimeoutError:
                return False
        return True

    async def _next_release(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
