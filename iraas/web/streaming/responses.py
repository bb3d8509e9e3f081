"""Long responses that hold a limited resource from before they begin until they are over."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from iraas.web.config import WebConfig

CHUNK_BYTES = 256 * 1024


class SlowClientError(Exception):
    """A client reads its response too slowly; its connection is closed."""


class ManagedStream(StreamingResponse):
    """A streaming response that releases its resources when it is over.

    Args:
        content: Generates the body.
        resources: Released when the response is over, however it ends.
        headers: The headers.
        media_type: The media type of the body.
    """

    def __init__(
        self,
        content: AsyncIterator[str] | AsyncIterator[memoryview],
        resources: ExitStack,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        super().__init__(content, headers=headers, media_type=media_type)
        self._resources = resources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        with self._resources:
            await super().__call__(scope, receive, send)


class PacedResponse(ManagedStream):
    """Bytes sent in chunks, each after the previous one was written; slow clients are dropped.

    Args:
        data: The bytes.
        resources: Released when the response is over, however it ends.
        limits: Configures how slow a client may be.
        headers: The headers.
        media_type: The media type of the bytes.
    """

    def __init__(
        self,
        data: bytes,
        resources: ExitStack,
        limits: WebConfig,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        length = {"Content-Length": str(len(data))}
        super().__init__(_chunks(data, limits), resources, {**headers, **length}, media_type)


async def _chunks(data: bytes, limits: WebConfig) -> AsyncIterator[memoryview]:
    """Split bytes into chunks.

    Raises:
        SlowClientError: The client reads more slowly than configured.
    """
    time = asyncio.get_running_loop().time
    started_at = time()
    view = memoryview(data)
    for sent in range(0, len(data), CHUNK_BYTES):
        if time() - started_at > limits.send_s + sent / limits.min_bytes_per_s:
            raise SlowClientError
        yield view[sent : sent + CHUNK_BYTES]
