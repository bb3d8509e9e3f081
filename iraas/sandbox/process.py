"""A confined child process, as its parent holds it: for each frame that goes in, one comes back."""

import logging
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO, cast

from iraas.errors import MessageError, ProcessDiedError
from iraas.sandbox.frames import FRAME_HEAD_BYTES, frame_head, frame_size
from iraas.sandbox.limits import MAX_WRITTEN_BYTES

log = logging.getLogger(__name__)
MAX_REPLY_BYTES = 1_000_000
MAX_LOGGED_CHARS = 2_000
PIPE_BYTES = 256 * 1024
"""Most images fit in at once, which saves a switch between the processes for each 64 KiB. Linux
allows a user 64 MiB of pipes above its default (pipe(7))."""


class ConfinedProcess:
    """Starts a child and asks it. One thread asks at a time; `kill` may come from any.

    Whatever the child prints goes to a temporary file of at most `MAX_WRITTEN_BYTES`, whose end is
    logged if the child dies: a decoder that floods its stderr fills neither a pipe nor a disk.

    Args:
        command: What to run; it answers each frame on its standard input by one on its standard
            output, and leaves when its input ends.
        environment: The child's whole environment.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._said = tempfile.TemporaryFile("w+b", buffering=0)  # noqa: SIM115 - closed by `close`
        try:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
                pipesize=PIPE_BYTES,
            )
        except BaseException:
            self._said.close()
            raise
        self._stdin = cast("BinaryIO", self._process.stdin)
        self._stdout = cast("BinaryIO", self._process.stdout)
        self._received = bytearray()
        os.set_blocking(self._stdin.fileno(), False)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def ask(self, request: bytes, *, timeout_s: float | None = None) -> bytes:
        """Send a frame and wait for the reply; after an error the child is gone.

        Args:
            request: The frame's content.
            timeout_s: Seconds of wall clock until the child is killed; None for no limit.

        Raises:
            ProcessDiedError: The child ended, was killed, or answered with garbage.
        """
        (reply,) = self.ask_all([request], timeout_s=timeout_s)
        return reply

    def ask_all(
        self, requests: Sequence[bytes], *, timeout_s: float | None = None
    ) -> Iterator[bytes]:
        """Send frames and give the reply to each as it comes; after an error the child is gone.

        Each frame is sent while the one before it is worked on, so that the child never waits for
        its parent between two. Take all the replies: what is left would be the next caller's.

        Args:
            requests: The frames' contents.
            timeout_s: Seconds of wall clock for each reply until the child is killed; None for no
                limit.

        Raises:
            ProcessDiedError: The child ended, was killed, or answered with garbage, at the first
                request that has no reply.
        """
        try:
            deadline = _deadline(timeout_s)
            for ahead, request in enumerate(requests):
                self._send(request, deadline)
                if ahead:
                    yield self._receive(deadline)
                    deadline = _deadline(timeout_s)
            if requests:
                yield self._receive(deadline)
        except TimeoutError:
            self.kill()
            raise self._end(timed_out=True) from None
        except (OSError, EOFError, MessageError) as exc:
            raise self._end() from exc

    def _send(self, data: bytes, deadline: float | None) -> None:
        left = [memoryview(frame_head(data)), memoryview(data)]
        while left:
            try:
                written = os.writev(self._stdin.fileno(), left)
            except BlockingIOError:
                _wait(self._stdin.fileno(), select.POLLOUT, deadline)
            else:
                left = _after(left, written)

    def _receive(self, deadline: float | None) -> bytes:
        self._receive_at_least(FRAME_HEAD_BYTES, deadline)
        size = frame_size(bytes(self._received[:FRAME_HEAD_BYTES]), MAX_REPLY_BYTES)
        end = FRAME_HEAD_BYTES + size
        self._receive_at_least(end, deadline)
        reply = bytes(self._received[FRAME_HEAD_BYTES:end])
        del self._received[:end]
        return reply

    def _receive_at_least(self, size: int, deadline: float | None) -> None:
        while len(self._received) < size:
            _wait(self._stdout.fileno(), select.POLLIN, deadline)
            more = os.read(self._stdout.fileno(), PIPE_BYTES)
            if not more:
                raise EOFError
            self._received += more

    def kill(self) -> None:
        """End the child at once; whoever is asking gets a `ProcessDiedError`."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """End the child, wait for its end and let go of everything. Idempotent."""
        self.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout, self._said):
            with suppress(OSError):  # a frame that was not sent yet cannot be
                stream.close()

    def _end(self, *, timed_out: bool = False) -> ProcessDiedError:
        """See to it that the child is gone, and tell how it ended."""
        # A closed pipe comes a moment before the end; a child that lingers after it is killed.
        try:
            status = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        said = self._last_words()
        if said:
            log.warning("process %d ended with status %d: %s", self.pid, status, said)
        self.close()
        return ProcessDiedError(status, timed_out=timed_out)

    def _last_words(self) -> str:
        size = min(os.fstat(self._said.fileno()).st_size, MAX_WRITTEN_BYTES)
        start = max(0, size - MAX_LOGGED_CHARS)
        text = os.pread(self._said.fileno(), size - start, start).decode("utf-8", "replace")
        return "".join(char if char.isprintable() else " " for char in text).strip()


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _after(parts: list[memoryview], written: int) -> list[memoryview]:
    """What is left of parts of which so many bytes are written."""
    left = []
    for part in parts:
        if written < len(part):
            left.append(part[written:])
        written = max(0, written - len(part))
    return left


def _wait(descriptor: int, event: int, deadline: float | None) -> None:
    """Wait until a pipe can be read or written, or is closed.

    Raises:
        TimeoutError: That took too long.
    """
    poll = select.poll()
    poll.register(descriptor, event)
    left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(left_ms):
        raise TimeoutError


def ended_by_cpu_budget(error: ProcessDiedError) -> bool:
    """Tell whether a child was ended by `iraas.sandbox.limits.cpu_budget`."""
    return error.status == -signal.SIGPROF
