"""A long answer whose bytes are counted for as long as they are in memory."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from iraas.web.limits import WebLimits

CHUNK_BYTES = 256 * 1024


class TooSlow(Exception):  # noqa: N818 - a client's fault, and nobody is told of it
    """A client takes its answer so slowly that it is hung up on."""


class LeasedResponse(StreamingResponse):
    """Bytes that are sent some at a time, each when those before are on their way.

    Args:
        data: The bytes.
        leases: What is held for them; let go of when the answer is over.
        limits: Say how slow a client may be.
        headers: The headers.
        media_type: What the bytes are.
    """

    def __init__(
        self,
        data: bytes,
        leases: ExitStack,
        limits: WebLimits,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        length = {"Content-Length": str(len(data))}
        super().__init__(paced(data, limits), headers={**headers, **length}, media_type=media_type)
        self._leases = leases

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        with self._leases:
            await super().__call__(scope, receive, send)


async def paced(data: bytes, limits: WebLimits) -> AsyncIterator[memoryview]:
    """Bytes, some at a time.

    Raises:
        TooSlow: Whoever takes them is.
    """
    time = asyncio.get_running_loop().time
    began = time()
    view = memoryview(data)
    for sent in range(0, len(data), CHUNK_BYTES):
        if time() - began > limits.send_s + sent / limits.min_bytes_per_s:
            raise TooSlow
        yield view[sent : sent + CHUNK_BYTES]
