"""Records of revoked sessions, known to every process and after a restart.

A record's key begins with the time at which its session would have expired, so that a listing
returns only the relevant ones, and the others are easy to remove.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from iraas.core.keys import REVOKED_SESSIONS, revoked_session_key
from iraas.core.ports import ObjectStore
from iraas.web.security.authenticator import Session

REFRESH_S = 5.0
"""Other web processes of the deployment may accept a session for this long after its logout."""
MAX_PRUNED = 1000
"""Keys removed in one call."""


class Revocations:
    """Records which sessions were revoked. Used from the event loop alone, except for `prune`.

    The records are listed only while sessions are in use, and at most once in `REFRESH_S`.

    Args:
        records: The deployment's record store.
        run: Calls a blocking function in a thread.
        clock: Returns seconds since the epoch.
        now: Returns monotonic seconds.
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
        """Revoke a session. Durable when it returns; idempotent.

        Raises:
            BackendError: The records failed; the session remains valid.
        """
        key = revoked_session_key(session.ends_at, session.identity)
        await self._run(self._records.put, key, b"")
        self._ends[session.identity] = session.ends_at

    async def has(self, session: Session) -> bool:
        """Return whether a session was revoked, by another process at least `REFRESH_S` ago.

        Raises:
            BackendError: The records could not be read.
        """
        if session.identity not in self._ends and self._is_old():
            async with self._reading:
                if self._is_old():
                    await self._read()
        return session.identity in self._ends

    def prune(self) -> None:
        """Remove the records of expired sessions. Blocks; thread-safe.

        Raises:
            BackendError: The records failed.
        """
        first_kept = revoked_session_key(int(self._clock()), "0")
        expired: list[str] = []
        for record in self._records.list(REVOKED_SESSIONS):
            if record.key >= first_kept or len(expired) >= MAX_PRUNED:
                break
            expired.append(record.key)
        self._records.delete(expired)

    def _is_old(self) -> bool:
        return self._now() - self._read_at >= REFRESH_S

    async def _read(self) -> None:
        listed_at = self._now()
        found = await self._run(self._list)
        # The listing may lack a session revoked here meanwhile: entries are kept until they expire.
        time_s = int(self._clock())
        kept = {identity: end for identity, end in self._ends.items() if end >= time_s}
        self._ends = kept | found
        self._read_at = listed_at

    def _list(self) -> dict[str, int]:
        after = revoked_session_key(int(self._clock()), "0")
        keys = [record.key for record in self._records.list(REVOKED_SESSIONS, after=after)]
        parts = [key.removeprefix(REVOKED_SESSIONS).split("-") for key in keys]
        return {identity: int(end) for end, identity in parts}
