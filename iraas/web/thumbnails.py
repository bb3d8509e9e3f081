"""Thumbnails of stored images, made in a process of their own.

The images come from anybody, and decoders have bugs: what goes wrong there ends that process and
not the web tier. It is started when the first thumbnail is asked for and left to end when none is.
It makes one at a time; jobs take turns, so that the pictures of one do not keep another's waiting.
Without Pillow there are no thumbnails, and browsers scale the images themselves.
"""

import asyncio
import contextlib
import importlib.util
import logging
import struct
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from iraas.web.fair_turns import FairTurns
from iraas.web.problems import Problem
from iraas.web.small_cache import SmallCache

log = logging.getLogger(__name__)
TIMEOUT_S = 10.0
IDLE_S = 30.0
MAX_THUMBNAIL_BYTES = 1_000_000
KEPT_BYTES = 16_000_000
WAIT_S = 15.0
RETRY_S = 5
HEAD = struct.Struct(">I")


class Thumbnailer:
    """Asks a child process for thumbnails. Used from the event loop alone.

    Args:
        command: What to run; it speaks the protocol of `iraas.web.thumbnail_process`.
        wait_s: How long one waits for its turn.
    """

    def __init__(self, command: tuple[str, ...] | None = None, *, wait_s: float = WAIT_S) -> None:
        self.is_possible = importlib.util.find_spec("PIL") is not None
        self._command = command or (sys.executable, "-m", "iraas.web.thumbnail_process")
        self._process: asyncio.subprocess.Process | None = None
        self._turns = FairTurns()
        self._wait_s = wait_s
        self._known = SmallCache(KEPT_BYTES)
        self._idle: asyncio.TimerHandle | None = None

    async def make(
        self, job_id: str, identity: str, read: Callable[[], Awaitable[bytes]]
    ) -> bytes | None:
        """A JPEG of 320 pixels at most on its longer side; None if none can be made.

        Args:
            job_id: The job that takes the turn.
            identity: The image's name, for ever.
            read: Reads the image, once it is its turn.

        Raises:
            Problem: Its turn did not come in time.
        """
        if not self.is_possible:
            return None
        found = self._known.get(identity)
        if found is None:
            try:
                async with self._turns.turn(job_id, self._wait_s):
                    found = self._known.get(identity)
                    if found is None:
                        found = await self._make(identity, await read())
            except TimeoutError as exc:
                raise _busy() from exc
        return found or None

    async def stop(self) -> None:
        """End the process."""
        if self._idle:
            self._idle.cancel()
        process = self._process
        self._end()
        if process is not None:
            await process.wait()

    async def _make(self, identity: str, image: bytes) -> bytes:
        if self._idle:
            self._idle.cancel()
        found = b""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await self._ask(image)
        except (TimeoutError, OSError, EOFError) as exc:
            log.warning("no thumbnail: %s", str(exc) or type(exc).__name__)
            self._end()
            if isinstance(exc, OSError) and not isinstance(exc, TimeoutError):
                return found  # nothing that the image has done: the next try may go well
        except asyncio.CancelledError:
            self._end()  # or its answer would be taken for that to the next image
            raise
        else:
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._end)
        self._known.put(identity, found)
        return found

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


def _busy() -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "too many thumbnails are asked for at once",
        code="thumbnails-busy",
        remedy=f"Try again in {RETRY_S} s.",
        headers={"Retry-After": str(RETRY_S)},
    )
