"""What all clients share, and of which one client may have a part at most.

Used from the event loop alone.
"""

import asyncio
from contextlib import suppress


class Pool:
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

    def has_room(self, client: str, amount: int = 1) -> bool:
        """Tell whether that client may have so much more now."""
        return amount <= self._left and self._held.get(client, 0) + amount <= self._most_each

    def take(self, client: str, amount: int = 1) -> None:
        """Give a client so much, room or not: whoever must not overdraw asks first."""
        self._left -= amount
        self._held[client] = self._held.get(client, 0) + amount

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

    async def wait_for_room(self, client: str, amount: int, within_s: float) -> bool:
        """Wait until that client may have so much; False if that takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self.has_room(client, amount):
                    await self._next_giving()
                return True
        return False

    async def _next_giving(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)
