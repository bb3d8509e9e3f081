"""Thumbnails of stored images, made in a process of their own.

The images come from anybody, and decoders have bugs: what goes wrong there ends that process and
not the web tier. It is started when the first thumbnail is asked for and left to end when none is.
Without Pillow there are no thumbnails, and browsers scale the images themselves.
"""

import asyncio
import contextlib
import importlib.util
import logging
import struct
import sys

log = logging.getLogger(__name__)
TIMEOUT_S = 10.0
IDLE_S = 30.0
MAX_THUMBNAIL_BYTES = 1_000_000
HEAD = struct.Struct(">I")


class Thumbnailer:
    """Asks a child process for thumbnails, one at a time. Used from the event loop alone.

    Args:
        command: What to run; it speaks the protocol of `iraas.web.thumbnail_process`.
    """

    def __init__(self, command: tuple[str, ...] | None = None) -> None:
        self.is_possible = importlib.util.find_spec("PIL") is not None
        self._command = command or (sys.executable, "-m", "iraas.web.thumbnail_process")
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def make(self, image: bytes) -> bytes | None:
        """A JPEG of 320 pixels at most on its longer side; None if none can be made."""
        if not self.is_possible:
            return None
        async with self._turn:
            if self._idle:
                self._idle.cancel()
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    thumbnail = await self._ask(image)
            except (TimeoutError, OSError, EOFError) as exc:
                log.warning("no thumbnail: %s", str(exc) or type(exc).__name__)
                self._end()
                return None
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._end)
            return thumbnail or None

    async def stop(self) -> None:
        """End the process."""
        if self._idle:
            self._idle.cancel()
        process = self._process
        self._end()
        if process is not None:
            await process.wait()

    async def _ask(self, image: bytes) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(HEAD.pack(len(image)) + image)
        await stdin.drain()
        (size,) = HEAD.unpack(await stdout.readexactly(HEAD.size))
        if size > MAX_THUMBNAIL_BYTES:
            raise EOFError("a thumbnail is far too large")
        return await stdout.readexactly(size)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
