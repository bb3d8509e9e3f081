"""Long answers that hold something of which there is not much: counted from before they begin until
they are over.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from iraas.web.config import WebConfig

CHUNK_BYTES = 256 * 1024


class SlowClientError(Exception):
    """A client takes its answer so slowly that it is hung up on."""


class LeasedStream(StreamingResponse):
    """An answer that is made as it is sent.

    Args:
        content: Makes it.
        leases: What is held for it; let go of when the answer is over.
        headers: The headers.
        media_type: What it is.
    """

    def __init__(
        self,
        content: AsyncIterator[str] | AsyncIterator[memoryview],
        leases: ExitStack,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        super().__init__(content, headers=headers, media_type=media_type)
        self._leases = leases

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        with self._leases:
            await super().__call__(scope, receive, send)


class LeasedResponse(LeasedStream):
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
        limits: WebConfig,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        length = {"Content-Length": str(len(data))}
        super().__init__(paced(data, limits), leases, {**headers, **length}, media_type)


async def paced(data: bytes, limits: WebConfig) -> AsyncIterator[memoryview]:
    """Bytes, some at a time.

    Raises:
        TooSlow: Whoever takes them is.
    """
    time = asyncio.get_running_loop().time
    began = time()
    view = memoryview(data)
    for sent in range(0, len(data), CHUNK_BYTES):
        if time() - began > limits.send_s + sent / limits.min_bytes_per_s:
            raise SlowClientError
        yield view[sent : sent + CHUNK_BYTES]
