"""The deadlines of a request body, on a virtual clock so that no machine is too slow."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.requests import Request
from starlette.types import Message

from iraas.backends.memory import MemoryBackend
from iraas.web.config import WebConfig
from iraas.web.http.bodies import read_chunks
from iraas.web.problems import Problem
from iraas.web.state import AppState
from tests.fakes.virtual_time import run_virtually

Part = tuple[float, int]
"""The client's schedule: seconds to wait, then the number of bytes to send."""


def read(parts: Sequence[Part], limits: WebConfig) -> int:
    """Read a body that arrives in parts; return its number of bytes."""
    left = list(parts)

    async def receive() -> Message:
        pause_s, size_bytes = left.pop(0)
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": bytes(size_bytes), "more_body": bool(left)}

    async def read_all() -> int:
        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        state = AppState(MemoryBackend(), deployment="test", token=None, limits=limits)
        return sum([len(chunk) async for chunk in read_chunks(request, state)])

    return run_virtually(read_all())


def test_a_slow_body_that_keeps_the_least_rate_is_read_to_its_end() -> None:
    limits = WebConfig(idle_s=3, min_bytes_per_s=1000)
    assert read([(2.0, 2000)] * 100, limits) == 200_000


@pytest.mark.parametrize(
    ("parts", "limits"),
    [
        ([(2.0, 1000)] * 100, WebConfig(idle_s=3, min_bytes_per_s=1000)),
        ([(1.0, 1000), (4.0, 10_000)], WebConfig(idle_s=3, min_bytes_per_s=1000)),
        ([(1.0, 9000)] * 20, WebConfig(idle_s=3, body_s=10)),
    ],
    ids=["slower than the least rate", "a pause too long", "all of it too long"],
)
def test_a_body_that_takes_too_long_is_given_up(parts: list[Part], limits: WebConfig) -> None:
    with pytest.raises(Problem, match="did not arrive in time"):
        read(parts, limits)
