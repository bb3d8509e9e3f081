"""Reading request bodies as a stream, within bounds, whatever their headers claim."""

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


async def read_chunks(request: Request, context: AppState) -> AsyncIterator[bytes]:
    """A body's bytes as they arrive.

    Raises:
        Problem: The body is too long, its client too slow, or the server about to stop.
        ClientDisconnect: The client left.
    """
    limits = context.limits
    claimed = request.headers.get("content-length", "")
    if claimed.isdecimal() and int(claimed) > limits.max_body_bytes:
        raise _too_long(limits)
    reader = _Reader(request, limits, context.bodies)
    received = 0
    while True:
        message = await reader.next(received)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        received += len(chunk)
        if received > limits.max_body_bytes:
            raise _too_long(limits)
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


async def read_small(request: Request, context: AppState, most_bytes: int) -> bytes:
    """A whole body that is small.

    Raises:
        Problem: It is too long, its client too slow, or the server about to stop.
        ClientDisconnect: The client left.
    """
    body = bytearray()
    async for chunk in read_chunks(request, context):
        body += chunk
        if len(body) > most_bytes:
            raise too_large(f"this body may have {most_bytes:,} bytes at most")
    return bytes(body)


class _Reader:
    """Waits for the parts of one body.

    The time that a client has grows with what it sends. Only waits count: while a picture is on its
    way to the queue it is not the client that is slow.
    """

    def __init__(self, request: Request, limits: WebConfig, bodies: OpenBodies) -> None:
        self._receive = request.receive
        self._limits = limits
        self._bodies = bodies
        self._time = asyncio.get_running_loop().time
        self._end = self._time() + limits.body_s
        self._waited_s = 0.0

    async def next(self, received: int) -> Message:
        if self._bodies.are_over:
            raise stopping()
        limits, began = self._limits, self._time()
        earned_s = limits.idle_s + received / limits.min_bytes_per_s - self._waited_s
        try:
            async with asyncio.timeout_at(
                min(self._end, began + limits.idle_s, began + earned_s)
            ) as wait:
                with self._bodies.waiting(wait):
                    message = await self._receive()
        except TimeoutError as exc:
            if self._bodies.are_over:
                raise stopping() from exc
            raise Problem(
                HTTPStatus.REQUEST_TIMEOUT,
                "the request's body did not arrive in time",
                code="body-too-slow",
                headers=CLOSE,
            ) from exc
        self._waited_s += self._time() - began
        return message


def _too_long(limits: WebConfig) -> Problem:
    return too_large(f"a request's body may have {limits.max_body_bytes:,} bytes at most")
