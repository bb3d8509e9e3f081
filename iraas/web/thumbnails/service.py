"""Thumbnails of stored images, made in a confined process.

Images are untrusted and decoders have bugs: a crash ends that process, not the web tier. It is
started for the first thumbnail and ended when idle. It makes one thumbnail at a time; jobs take
turns, so that a large job does not delay the others. Without Pillow there are no thumbnails, and
browsers scale the images themselves.
"""

import asyncio
import importlib.util
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from iraas.decoding.limits import DECODING_BYTES
from iraas.errors import ConfigurationError, ProcessDiedError
from iraas.sandbox.commands import module_command
from iraas.sandbox.environment import decoder_environment
from iraas.sandbox.process import ConfinedProcess, check_confinement, ended_by_cpu_budget
from iraas.web.config import WebConfig
from iraas.web.limits.round_robin_lock import RoundRobinLock
from iraas.web.problems import Problem

log = logging.getLogger(__name__)
TIMEOUT_S = 10.0
IDLE_S = 30.0
CACHE_BYTES = 16_000_000
ENTRY_OVERHEAD_BYTES = 200
"""Approximate size of a cache entry besides its value."""
RETRY_S = 5


class LruCache:
    """Values by key, bounded in bytes; evicts the least recently used. Not thread-safe.

    Args:
        max_bytes: Size of all entries together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._free_bytes = max_bytes
        self._values: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        """Return a cached value; None if there is none."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Cache a value, replacing an earlier one."""
        old = self._values.pop(key, None)
        if old is not None:
            self._free_bytes += len(old) + ENTRY_OVERHEAD_BYTES
        self._values[key] = value
        self._free_bytes -= len(value) + ENTRY_OVERHEAD_BYTES
        while self._free_bytes < 0:
            _, evicted = self._values.popitem(last=False)
            self._free_bytes += len(evicted) + ENTRY_OVERHEAD_BYTES


class Thumbnailer:
    """Makes thumbnails in a child process, and caches them. Used from the event loop alone.

    Args:
        limits: Limits on one image, and on the wait for a turn.
        command: The command of the child process; it speaks the protocol of
            `iraas.web.thumbnails.process`.
        must_be_confined: Whether to make none where the system cannot deny that process the
            network: on a machine that has credentials.
    """

    def __init__(
        self,
        limits: WebConfig,
        command: Sequence[str] | None = None,
        *,
        must_be_confined: bool = False,
    ) -> None:
        self.is_possible = importlib.util.find_spec("PIL") is not None
        command = command or module_command("iraas.web.thumbnails.process")
        self._worker = _Worker(limits, command, must_be_confined=must_be_confined)
        self._turns = RoundRobinLock()
        self._wait_s = limits.thumbnail_s
        self._cache = LruCache(CACHE_BYTES)
        self._idle: asyncio.TimerHandle | None = None
        # All blocking calls to the process run in this one thread, its start and its end too.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="thumbnails")

    async def make(
        self, job_id: str, identity: str, read: Callable[[], Awaitable[bytes]]
    ) -> bytes | None:
        """Make a thumbnail, or return it from the cache.

        Args:
            job_id: The job that takes the turn.
            identity: A permanent identifier of the image, for the cache.
            read: Reads the image; called when it is its turn.

        Returns:
            A JPEG of at most 320 pixels on its longer side; None if none can be made.

        Raises:
            Problem: Its turn did not come in time (503).
        """
        if not self.is_possible:
            return None
        thumbnail = self._cache.get(identity)
        if thumbnail is None:
            try:
                async with self._turns.turn(job_id, self._wait_s):
                    thumbnail = self._cache.get(identity)
                    if thumbnail is None:
                        thumbnail = await self._make(identity, await read())
            except TimeoutError as exc:
                raise _busy() from exc
        return thumbnail or None

    async def stop(self) -> None:
        """End the process and wait for its end; no further thumbnails are made. Idempotent."""
        self.is_possible = False
        if self._idle:
            self._idle.cancel()
        self._worker.interrupt()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._worker.close)
        await asyncio.to_thread(self._thread.shutdown)

    async def _make(self, identity: str, image: bytes) -> bytes:
        if self._idle:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        making = loop.run_in_executor(self._thread, self._worker.make, image)
        try:
            thumbnail = await asyncio.shield(making)
        except asyncio.CancelledError:
            self._worker.interrupt()
            await asyncio.wait([making])  # the turn ends once the thread is free again
            raise
        self._idle = loop.call_later(IDLE_S, self._thread.submit, self._worker.close)
        if thumbnail is not None:
            self._cache.put(identity, thumbnail)
        return thumbnail or b""


class _Worker:
    """The child process. All methods except `interrupt` are called from one thread."""

    def __init__(
        self, limits: WebConfig, command: Sequence[str], *, must_be_confined: bool
    ) -> None:
        self._command = command
        self._must_be_confined = must_be_confined
        order = {
            "max_pixels": limits.max_pixels,
            "image_cpu_s": limits.image_cpu_s,
            "headroom_bytes": DECODING_BYTES + limits.max_image_bytes,
        }
        self._order = json.dumps(order).encode()
        self._process: ConfinedProcess | None = None

    def make(self, image: bytes) -> bytes | None:
        """Make a thumbnail; empty if the image has none, None if a retry may succeed."""
        try:
            process = self._process or self._start()
        except (OSError, ProcessDiedError, ConfigurationError) as exc:
            log.warning("the thumbnail process does not start: %s", exc)
            return None
        try:
            return process.ask(image, timeout_s=TIMEOUT_S)
        except ProcessDiedError as exc:
            reason = "it takes too much CPU time" if ended_by_cpu_budget(exc) else str(exc)
            log.warning("no thumbnail of an image: %s", reason)
            self._process = None
            return b""

    def close(self) -> None:
        """End the process and wait for its end. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def interrupt(self) -> None:
        """Abort the thumbnail being made. Thread-safe."""
        process = self._process
        if process is not None:
            process.kill()

    def _start(self) -> ConfinedProcess:
        process = ConfinedProcess(self._command, decoder_environment(os.environ))
        unconfined = process.ask(self._order, timeout_s=TIMEOUT_S).decode("utf-8", "replace")
        try:
            check_confinement(unconfined, "thumbnail", must_be_confined=self._must_be_confined)
        except ConfigurationError:
            process.close()
            raise
        self._process = process
        return process


def _busy() -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "too many thumbnails are requested at once",
        code="thumbnails-busy",
        remedy=f"Try again in {RETRY_S} s.",
        headers={"Retry-After": str(RETRY_S)},
    )
