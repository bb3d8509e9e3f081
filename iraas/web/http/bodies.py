"""Streaming request bodies within limits, independent of their headers."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from iraas.web.config import WebConfig
from iraas.web.http.open_bodies import OpenBodies, stopping
from iraas.web.limits.admission import too_large
from iraas.web.problems import Problem
from iraas.web.state import AppState

CLOSE = {"Connection": "close"}


async def read_chunks(request: Request, state: AppState) -> AsyncIterator[bytes]:
    """Generate a body's bytes as they arrive.

    Args:
        request: The request.
        state: The services, for their limits.

    Raises:
        Problem: The body is too long or too slow, or the server is stopping.
        ClientDisconnect: The client disconnected.
    """
    limits = state.limits
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.max_body_bytes:
        raise _over_limit(limits)
    reader = _Reader(request, limits, state.open_bodies)
    received = 0
    while True:
        message = await reader.next(received)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        received += len(chunk)
        if received > limits.max_body_bytes:
            raise _over_limit(limits)
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


async def read_small(request: Request, state: AppState, max_bytes: int) -> bytes:
    """Read a small body as a whole.

    Args:
        request: The request.
        state: The services, for their limits.
        max_bytes: Length allowed for this body.

    Raises:
        Problem: The body is too long or too slow, or the server is stopping.
        ClientDisconnect: The client disconnected.
    """
    body = bytearray()
    async for chunk in read_chunks(request, state):
        body += chunk
        if len(body) > max_bytes:
            raise too_large(f"this body may have {max_bytes:,} bytes at most")
    return bytes(body)


class _Reader:
    """Waits for the messages of one body, with a timeout that grows with the bytes received.

    Only waits count: while the server stores an image, the client is not slow.
    """

    def __init__(self, request: Request, limits: WebConfig, bodies: OpenBodies) -> None:
        self._receive = request.receive
        self._limits = limits
        self._bodies = bodies
        self._time = asyncio.get_running_loop().time
        self._deadline = self._time() + limits.body_s
        self._waited_s = 0.0

    async def next(self, received: int) -> Message:
        if self._bodies.is_stopping:
            raise stopping()
        limits, started_at = self._limits, self._time()
        earned_s = limits.idle_s + received / limits.min_bytes_per_s - self._waited_s
        try:
            async with asyncio.timeout_at(
                min(self._deadline, started_at + limits.idle_s, started_at + earned_s)
            ) as wait:
                with self._bodies.waiting(wait):
                    message = await self._receive()
        except TimeoutError as exc:
            if self._bodies.is_stopping:
                raise stopping() from exc
            raise Problem(
                HTTPStatus.REQUEST_TIMEOUT,
                "the request body did not arrive in time",
                code="body-too-slow",
                headers=CLOSE,
            ) from exc
        self._waited_s += self._time() - started_at
        return message


def _over_limit(limits: WebConfig) -> Problem:
    return too_large(f"a request body may have {limits.max_body_bytes:,} bytes at most")
