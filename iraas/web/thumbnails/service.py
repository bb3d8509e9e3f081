"""Thumbnails of stored images, made in a confined process of their own.

The images come from anybody, and decoders have bugs: what goes wrong there ends that process and
not the web tier. It is started when the first thumbnail is asked for and ended when none is.
It makes one at a time; jobs take turns, so that the images of one do not keep another's waiting.
Without Pillow there are no thumbnails, and browsers scale the images themselves.
"""

import asyncio
import importlib.util
import json
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from iraas.decoding.limits import DECODING_BYTES
from iraas.errors import ConfigurationError, ProcessDiedError
from iraas.sandbox.commands import module_command
from iraas.sandbox.environment import decoder_environment
from iraas.sandbox.process import ConfinedProcess, ended_by_cpu_budget
from iraas.web.config import WebConfig
from iraas.web.limits.round_robin_lock import RoundRobinLock
from iraas.web.problems import Problem
from iraas.web.thumbnails.lru_cache import SmallCache

log = logging.getLogger(__name__)
TIMEOUT_S = 10.0
IDLE_S = 30.0
KEPT_BYTES = 16_000_000
RETRY_S = 5


class Thumbnailer:
    """Asks a child process for thumbnails. Used from the event loop alone.

    Args:
        limits: What one image may cost, and how long one waits for its turn.
        command: What to run; it speaks the protocol of `iraas.web.thumbnails.process`.
        must_be_confined: Whether to make none where the system cannot keep that process from the
            network: on a machine whose credentials lie there.
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
        self._known = SmallCache(KEPT_BYTES)
        self._idle: asyncio.TimerHandle | None = None
        # All that waits for the process is done in this one thread, its start and its end too.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="thumbnails")

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
        """End the process, and wait for its end. Idempotent; nothing is made any more."""
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
            found = await asyncio.shield(making)
        except asyncio.CancelledError:
            self._worker.interrupt()
            await asyncio.wait([making])  # the turn is over once the thread is free again
            raise
        self._idle = loop.call_later(IDLE_S, self._thread.submit, self._worker.close)
        if found is not None:
            self._known.put(identity, found)
        return found or b""


class _Worker:
    """The child process. Everything but `interrupt` is called from one thread."""

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
        """A thumbnail; empty if the image has none, None if the next try may go well."""
        try:
            process = self._process or self._start()
        except (OSError, ProcessDiedError, ConfigurationError) as exc:
            log.warning("no thumbnail: the process that makes them does not start: %s", exc)
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
        """Let whoever waits for a thumbnail wait no longer. From any thread."""
        process = self._process
        if process is not None:
            process.kill()

    def _start(self) -> ConfinedProcess:
        process = ConfinedProcess(self._command, decoder_environment(os.environ))
        unconfined = process.ask(self._order, timeout_s=TIMEOUT_S).decode("utf-8", "replace")
        if "network" in unconfined and self._must_be_confined:
            process.close()
            raise ConfigurationError("it cannot be kept from this machine's credentials")
        if unconfined:
            log.warning("this system does not confine the thumbnails' process in: %s", unconfined)
        self._process = process
        return process


def _busy() -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "too many thumbnails are asked for at once",
        code="thumbnails-busy",
        remedy=f"Try again in {RETRY_S} s.",
        headers={"Retry-After": str(RETRY_S)},
    )
