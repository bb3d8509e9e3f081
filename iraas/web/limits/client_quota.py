"""What all clients share, and of which one client may have a part at most.

Used from the event loop alone.
"""

import asyncio


class ClientQuota:
    """So much of something: bytes, event streams, connections.

    Args:
        most: How much there is.
        share: The part of it that one client may have, in 0..1; never less than one.
    """

    def __init__(self, most: int, share: float) -> None:
        self._left = most
        self._most_each = max(1, int(most * share))
        self._held: dict[str, int] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    def take(self, client: str, amount: int = 1) -> bool:
        """Give a client so much if it may have it, in one step; False if it may not.

        There is no asking without taking: between the two others would ask as well.
        """
        held = self._held.get(client, 0) + amount
        if amount > self._left or held > self._most_each:
            return False
        self._left -= amount
        self._held[client] = held
        return True

    def give(self, client: str, amount: int = 1) -> None:
        """Take so much back from a client."""
        self._left += amount
        left = self._held.get(client, 0) - amount
        if left > 0:
            self._held[client] = left
        else:
            self._held.pop(client, None)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def take_within(self, client: str, amount: int, within_s: float) -> bool:
        """Give a client so much as soon as it may have it; False if that takes too long."""
        until = asyncio.get_running_loop().time() + within_s
        while not self.take(client, amount):
            try:
                async with asyncio.timeout_at(until):
                    await self._next_giving()
            except TimeoutError:
                return False
        return True

    async def _next_giving(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)
