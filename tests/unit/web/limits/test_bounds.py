"""Quotas per client, round-robin turns, a small cache, and the identity of a client."""

import asyncio

import pytest
from starlette.types import Scope

from iraas.errors import BackendUnavailableError
from iraas.web.config import WebConfig
from iraas.web.limits.client_quota import ClientQuota
from iraas.web.limits.clients import THIS_MACHINE, find_client, is_loopback, network_of
from iraas.web.limits.round_robin_lock import RoundRobinLock
from iraas.web.problems import Problem
from iraas.web.readiness import READY_AGE_S, Readiness
from iraas.web.security.failed_logins import FailedLoginLimiter
from iraas.web.thumbnails.service import ENTRY_OVERHEAD_BYTES, LruCache, Thumbnailer
from tests.async_run import run_async
from tests.fakes.clock import Clock


def test_one_client_has_its_share_and_no_more() -> None:
    quota = ClientQuota(100, 0.25)
    assert quota.reserve("a", 20)
    assert not quota.reserve("a", 6)
    for other in "bcd":
        assert quota.reserve(other, 25)
    assert not quota.reserve("e", 6)
    assert quota.reserve("a", 5)
    quota.release("a", 25)
    assert quota.reserve("e", 25)


def test_a_share_is_never_nothing() -> None:
    assert ClientQuota(2, 0.01).reserve("a")


def test_a_waiting_client_gets_released_capacity() -> None:
    async def scene() -> tuple[bool, bool]:
        quota = ClientQuota(10, 1.0)
        quota.reserve("a", 10)
        waiting = asyncio.create_task(quota.reserve_within("b", 4, 20))
        too_large = asyncio.create_task(quota.reserve_within("b", 40, 0.01))
        await asyncio.sleep(0)
        quota.release("a", 5)
        return await waiting, await too_large

    assert run_async(scene()) == (True, False)


def test_released_capacity_goes_to_one_of_many_waiting_clients() -> None:
    async def scene() -> list[bool]:
        quota = ClientQuota(10, 1.0)
        quota.reserve("a", 10)
        waiting = [asyncio.create_task(quota.reserve_within(name, 6, 0.05)) for name in "bcd"]
        await asyncio.sleep(0)
        quota.release("a", 10)
        return sorted(await asyncio.gather(*waiting))

    assert run_async(scene()) == [False, False, True]


def test_turns_are_round_robin() -> None:
    async def scene() -> list[str]:
        turns, had = RoundRobinLock(), []

        async def take(name: str) -> None:
            async with turns.turn(name[0], 20):
                had.append(name)
                await asyncio.sleep(0)

        names = ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]
        await asyncio.gather(*(take(one) for one in names))
        return had

    assert run_async(scene()) == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


def test_a_turn_that_times_out_is_not_taken() -> None:
    async def scene() -> None:
        turns = RoundRobinLock(max_waiting=1)
        async with turns.turn("a", 20):
            with pytest.raises(TimeoutError):
                async with turns.turn("b", 0.01):
                    pass
            waiting = asyncio.create_task(_have(turns))
            await asyncio.sleep(0)
            with pytest.raises(TimeoutError, match="too many"):
                async with turns.turn("d", 20):
                    pass
        await waiting
        await _have(turns)

    run_async(scene())


async def _have(turns: RoundRobinLock) -> None:
    async with turns.turn("c", 20):
        pass


def test_a_thumbnail_that_cannot_be_made_soon_is_a_503() -> None:
    async def scene() -> Problem:
        thumbnailer = Thumbnailer(WebConfig(thumbnail_s=0.01), ("false",))
        begun, over = asyncio.Event(), asyncio.Event()

        async def read_slowly() -> bytes:
            begun.set()
            await over.wait()
            return b""

        async def read() -> bytes:
            return b""

        hog = asyncio.create_task(thumbnailer.make("a", "a-0", read_slowly))
        await begun.wait()
        with pytest.raises(Problem) as caught:
            await thumbnailer.make("b", "b-0", read)
        over.set()
        assert await hog is None
        await thumbnailer.stop()
        return caught.value

    problem = run_async(scene())
    assert (problem.status, problem.code) == (503, "thumbnails-busy")
    assert "Retry-After" in problem.headers


def test_a_small_cache_evicts_the_least_recently_used() -> None:
    cache = LruCache(2 * (ENTRY_OVERHEAD_BYTES + 10))
    for key in "ab":
        cache.put(key, bytes(10))
    assert cache.get("a") == bytes(10)
    cache.put("c", bytes(10))
    assert [cache.get(key) is None for key in "abc"] == [False, True, False]
    cache.put("c", bytes(5))
    cache.put("large", bytes(1000))
    assert [cache.get(key) for key in ("a", "c", "large")] == [None, None, None]


def test_wrong_tokens_are_forgiven_with_time() -> None:
    clock = Clock(0.0)
    limiter = FailedLoginLimiter(2, clock)
    for _ in range(2):
        assert not limiter.check("a", lambda: False)
    with pytest.raises(Problem) as caught:
        limiter.check("a", lambda: pytest.fail("a token is still compared"))
    assert caught.value.headers["Retry-After"] == "30"
    assert limiter.check("b", lambda: True)
    clock.advance(30)
    assert limiter.check("a", lambda: True)


def test_readiness_is_checked_once_a_second() -> None:
    clock, asked = Clock(0.0), []

    async def ask() -> None:
        asked.append(clock.now)
        if clock.now > READY_AGE_S:
            raise BackendUnavailableError("away")

    async def scene() -> None:
        readiness = Readiness(ask, clock)
        await readiness.check()
        await readiness.check()
        clock.advance(READY_AGE_S + 0.1)
        for _ in range(3):
            with pytest.raises(BackendUnavailableError):
                await readiness.check()

    run_async(scene())
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("127.0.0.1", THIS_MACHINE),
        ("127.9.8.7", THIS_MACHINE),
        ("::1", THIS_MACHINE),
        ("::ffff:127.0.0.2", THIS_MACHINE),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("[::ffff:cb00:7109]", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("who knows", ""),
    ],
)
def test_a_client_is_an_address_or_a_subscribers_network(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_server_on_a_loopback_address_is_one_however_it_is_written() -> None:
    loopback = ("localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]", "::ffff:127.0.0.1")
    assert all(is_loopback(one) for one in loopback)
    assert not any(is_loopback(one) for one in ("0.0.0.0", "::", "::ffff:10.0.0.1", "host", ""))


def test_a_forwarded_address_is_trusted_only_from_a_local_proxy() -> None:
    def client(peer: str, *, behind_proxy: bool, forwarded: bytes = b"1.1.1.1, 2.2.2.2") -> str:
        headers = [(b"x-forwarded-for", forwarded)]
        scope: Scope = {"type": "http", "client": (peer, 1), "headers": headers}
        return find_client(scope, behind_proxy=behind_proxy)

    assert client("127.0.0.1", behind_proxy=True) == "2.2.2.2"
    assert client("::ffff:127.0.0.1", behind_proxy=True) == "2.2.2.2"
    assert client("127.0.0.1", behind_proxy=True, forwarded=b"junk") == "127.0.0.1"
    assert client("127.0.0.1", behind_proxy=False) == "127.0.0.1"
    assert client("9.9.9.9", behind_proxy=True) == "9.9.9.9"
