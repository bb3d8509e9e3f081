"""Reading request bodies as a stream, within bounds, whatever their headers claim."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from iraas.web.admission import too_large
from iraas.web.limits import WebLimits
from iraas.web.problems import Problem

CLOSE = {"Connection": "close"}


async def read_chunks(request: Request, limits: WebLimits) -> AsyncIterator[bytes]:
    """A body's bytes as they arrive.

    Raises:
        Problem: The body is too long, or its client too slow.
        ClientDisconnect: The client left.
    """
    claimed = request.headers.get("content-length", "")
    if claimed.isdecimal() and int(claimed) > limits.max_body_bytes:
        raise _too_long(limits)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limits.body_s
    received = 0
    receive = request.receive
    while True:
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + limits.idle_s)):
                message = await receive()
        except TimeoutError as exc:
            raise Problem(
                HTTPStatus.REQUEST_TIMEOUT,
                "the request's body did not arrive in time",
                code="body-too-slow",
                headers=CLOSE,
            ) from exc
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


async def read_small(request: Request, limits: WebLimits, most_bytes: int) -> bytes:
    """A whole body that is small.

    Raises:
        Problem: It is too long, or its client too slow.
        ClientDisconnect: The client left.
    """
    parts: list[bytes] = []
    async for chunk in read_chunks(request, limits):
        parts.append(chunk)
        if sum(map(len, parts)) > most_bytes:
            raise too_large(f"this body may have {most_bytes:,} bytes at most")
    return b"".join(parts)


def _too_long(limits: WebLimits) -> Problem:
    return too_large(f"a request's body may have {limits.max_body_bytes:,} bytes at most")
