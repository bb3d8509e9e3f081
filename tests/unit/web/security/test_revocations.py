"""Revoked sessions, shared by all web processes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.core.keys import REVOKED_SESSIONS
from iraas.core.ports import ObjectStore
from iraas.errors import BackendUnavailableError
from iraas.web.security.authenticator import SESSION_S, Session
from iraas.web.security.revocations import REFRESH_S, Revocations
from tests.async_run import run_async
from tests.fakes.clock import Clock


async def in_a_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(function, *args)


def process(records: ObjectStore, clock: Clock) -> Revocations:
    return Revocations(records, in_a_thread, clock, now=clock)


def session(clock: Clock, identity: str = "0" * 32) -> Session:
    return Session(identity, int(clock()) + SESSION_S)


def test_a_revoked_session_is_known_at_once_here_and_soon_elsewhere() -> None:
    async def scene() -> None:
        clock, records = Clock(), MemoryBackend().records
        here, there = process(records, clock), process(records, clock)
        mine, other = session(clock), session(clock, "f" * 32)
        assert not await there.has(mine)
        await here.revoke(mine)
        assert await here.has(mine)
        assert not await here.has(other)
        clock.advance(REFRESH_S)
        assert await there.has(mine)
        assert not await there.has(other)
        assert await process(records, clock).has(mine)  # after a restart

    run_async(scene())


def test_the_records_are_listed_once_for_all_who_ask_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> int:
        clock, records = Clock(), MemoryBackend().records
        asked: list[str] = []
        list_records = records.list

        def noting(prefix: str = "", *, after: str = "") -> object:
            asked.append(prefix)
            return list_records(prefix, after=after)

        monkeypatch.setattr(records, "list", noting)
        revocations = process(records, clock)
        await asyncio.gather(*(revocations.has(session(clock)) for _ in range(50)))
        await revocations.has(session(clock))
        return len(asked)

    assert run_async(scene()) == 1


def test_a_session_that_was_revoked_while_the_records_were_listed_stays_revoked() -> None:
    async def scene() -> None:
        clock, records = Clock(), MemoryBackend().records
        listed, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(function: Callable[..., Any], *args: Any) -> Any:
            found = function(*args)
            if isinstance(found, dict):
                listed.set()
                await go_on.wait()
            return found

        revocations = Revocations(records, slowly, clock, now=clock)
        asking = asyncio.create_task(revocations.has(session(clock, "a" * 32)))
        await listed.wait()
        await revocations.revoke(session(clock))
        go_on.set()
        assert not await asking
        assert await revocations.has(session(clock))

    run_async(scene())


def test_unlistable_records_are_retried_and_authorize_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        clock, records = Clock(), MemoryBackend().records
        revocations = process(records, clock)

        def away(*_: object, **__: object) -> None:
            raise BackendUnavailableError("away")

        with monkeypatch.context() as patch:
            patch.setattr(records, "list", away)
            for _ in range(2):
                with pytest.raises(BackendUnavailableError):
                    await revocations.has(session(clock))
        assert not await revocations.has(session(clock))

    run_async(scene())


def test_only_expired_records_are_removed() -> None:
    async def scene() -> None:
        clock, records = Clock(), MemoryBackend().records
        revocations = process(records, clock)
        old = session(clock)
        await revocations.revoke(old)
        clock.advance(SESSION_S)
        young = session(clock, "f" * 32)
        await revocations.revoke(young)
        revocations.prune()
        assert await process(records, clock).has(old)  # valid to the last second
        clock.advance(1)
        revocations.prune()
        assert [one.key[-32:] for one in records.list(REVOKED_SESSIONS)] == ["f" * 32]
        assert await revocations.has(young)
        clock.advance(REFRESH_S)
        await revocations.has(session(clock, "e" * 32))  # forgets as it reads
        assert list(revocations._ends) == [young.identity]

    run_async(scene())
