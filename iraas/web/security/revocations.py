"""Sessions that ended before their time, on record: known after a restart and to every process.

A record's key begins with the time at which its session would have ended by itself, so that a
listing gives only those that still matter, and the others are easily removed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from iraas.core.keys import REVOKED_SESSIONS, revoked_session_key
from iraas.core.ports import ObjectStore
from iraas.web.security.authenticator import Session

REFRESH_S = 5.0
"""How long a logout may be unknown to the other web processes of a deployment."""
MAX_PRUNED = 1000
"""Keys removed in one call."""


class Revocations:
    """Remembers which sessions were revoked. Used from the event loop alone, save `prune`.

    The records are listed only while sessions are in use, and once in `REFRESH_S` at most.

    Args:
        records: The deployment's records.
        run: Calls a function that blocks, in a thread.
        clock: Gives seconds since the epoch.
        now: Gives monotonic seconds.
    """

    def __init__(
        self,
        records: ObjectStore,
        run: Callable[..., Awaitable[Any]],
        clock: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._run = run
        self._clock = clock
        self._now = now
        self._ends: dict[str, int] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def revoke(self, session: Session) -> None:
        """End a session. Durable when it returns.

        Raises:
            BackendError: The records failed: the session goes on.
        """
        key = revoked_session_key(session.ends_at, session.identity)
        await self._run(self._records.put, key, b"")
        self._ends[session.identity] = session.ends_at

    async def has(self, session: Session) -> bool:
        """Tell whether a session was revoked, by any process, `REFRESH_S` ago or earlier.

        Raises:
            BackendError: The records failed, so that nobody knows.
        """
        if session.identity not in self._ends and self._is_old():
            async with self._reading:
                if self._is_old():
                    await self._read()
        return session.identity in self._ends

    def prune(self) -> None:
        """Remove the records of sessions that are over anyway. Blocks; from any thread.

        Raises:
            BackendError: The records failed.
        """
        first_kept = revoked_session_key(int(self._clock()), "0")
        over: list[str] = []
        for one in self._records.list(REVOKED_SESSIONS):
            if one.key >= first_kept or len(over) >= MAX_PRUNED:
                break
            over.append(one.key)
        self._records.delete(over)

    def _is_old(self) -> bool:
        return self._now() - self._read_at >= REFRESH_S

    async def _read(self) -> None:
        asked_at = self._now()
        found = await self._run(self._list)
        # A session that was revoked here meanwhile may be missing in what was listed: none is
        # forgotten before it is over by itself.
        time_s = int(self._clock())
        kept = {identity: end for identity, end in self._ends.items() if end >= time_s}
        self._ends = kept | found
        self._read_at = asked_at

    def _list(self) -> dict[str, int]:
        after = revoked_session_key(int(self._clock()), "0")
        keys = [one.key for one in self._records.list(REVOKED_SESSIONS, after=after)]
        parts = [key.removeprefix(REVOKED_SESSIONS).split("-") for key in keys]
        return {identity: int(end) for end, identity in parts}
