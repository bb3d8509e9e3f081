"""The parent's end of a confined child process: one reply frame for each request frame."""

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

from iraas.core.control_chars import escape_control_chars
from iraas.errors import ConfigurationError, MessageError, ProcessDiedError
from iraas.sandbox.frames import FRAME_HEAD_BYTES, frame_head, frame_size
from iraas.sandbox.limits import MAX_WRITTEN_BYTES

log = logging.getLogger(__name__)
MAX_REPLY_BYTES = 1_000_000
MAX_LOGGED_CHARS = 2_000
PIPE_BYTES = 256 * 1024
"""Most images fit into the pipe, which saves a context switch for each 64 KiB. Linux allows a user
64 MiB of pipes above the default size (pipe(7))."""


class ConfinedProcess:
    """Starts a child and sends it requests. One thread at a time; any thread may call `kill`.

    The child's stderr goes to a temporary file of at most `MAX_WRITTEN_BYTES`, whose end is logged
    if the child dies: a decoder that floods it fills neither a pipe nor a disk.

    Args:
        command: The command line. The program answers each frame on its standard input with one on
            its standard output, and exits when its input ends.
        environment: The child's whole environment.

    Raises:
        OSError: The child cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._stderr = tempfile.TemporaryFile("w+b", buffering=0)  # noqa: SIM115 - closed by `close`
        try:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
                pipesize=PIPE_BYTES,
            )
        except BaseException:
            self._stderr.close()
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
        """Send a frame and wait for the reply. After an error the child has exited.

        Args:
            request: The frame's content.
            timeout_s: Seconds of wall clock until the child is killed; None for no limit.

        Returns:
            The content of the reply.

        Raises:
            ProcessDiedError: The child exited, was killed, or sent a malformed reply.
        """
        (reply,) = self.ask_all([request], timeout_s=timeout_s)
        return reply

    def ask_all(
        self, requests: Sequence[bytes], *, timeout_s: float | None = None
    ) -> Iterator[bytes]:
        """Send frames and yield their replies as they come. After an error the child has exited.

        Each frame is sent while the previous one is processed, so that the child never waits for
        its parent between two. Consume all replies: the next caller would read the rest.

        Args:
            requests: The frames' contents.
            timeout_s: Seconds of wall clock for each reply until the child is killed; None for no
                limit.

        Raises:
            ProcessDiedError: The child exited, was killed, or sent a malformed reply, at the first
                request without one.
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
        """Kill the child; a thread that waits for a reply gets a `ProcessDiedError`."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """Kill the child, wait for its exit and close all files. Idempotent."""
        self.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout, self._stderr):
            with suppress(OSError):  # closing cannot send the rest of a frame
                stream.close()

    def _end(self, *, timed_out: bool = False) -> ProcessDiedError:
        """Make sure that the child has exited, and make the error with its exit status."""
        # The pipe closes a moment before the exit; a child that lingers after it is killed.
        try:
            status = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        stderr = self._stderr_end()
        if stderr:
            log.warning("process %d ended with status %d: %s", self.pid, status, stderr)
        self.close()
        return ProcessDiedError(status, timed_out=timed_out)

    def _stderr_end(self) -> str:
        size = min(os.fstat(self._stderr.fileno()).st_size, MAX_WRITTEN_BYTES)
        start = max(0, size - MAX_LOGGED_CHARS)
        text = os.pread(self._stderr.fileno(), size - start, start).decode("utf-8", "replace")
        return escape_control_chars(" ".join(text.split()))


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _after(parts: list[memoryview], written: int) -> list[memoryview]:
    """The parts that remain once so many bytes of them are written."""
    left = []
    for part in parts:
        if written < len(part):
            left.append(part[written:])
        written = max(0, written - len(part))
    return left


def _wait(descriptor: int, event: int, deadline: float | None) -> None:
    """Wait until a pipe is readable or writable, or closed.

    Raises:
        TimeoutError: The deadline has passed.
    """
    poll = select.poll()
    poll.register(descriptor, event)
    left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(left_ms):
        raise TimeoutError


def ended_by_cpu_budget(error: ProcessDiedError) -> bool:
    """Whether a child was ended by `iraas.sandbox.limits.cpu_budget`."""
    return error.status == -signal.SIGPROF


def check_confinement(unconfined: str, process: str, *, must_be_confined: bool) -> None:
    """Log the accesses that the system does not block for a decoding process.

    Args:
        unconfined: Those accesses, as `iraas.sandbox.confinement.Confinement.missing` lists them.
        process: The process's role, for the log.
        must_be_confined: Whether network access is an error: on a machine that serves credentials
            over the network.

    Raises:
        ConfigurationError: The process can reach the network and must not.
    """
    if must_be_confined and "network" in unconfined:
        raise ConfigurationError(
            "this system cannot block network access for the process that decodes images, and this "
            "machine serves its credentials over the network",
            remedy="Install libseccomp, and pyseccomp with pip.",
        )
    if unconfined:
        log.warning("this system does not confine the %s process in: %s", process, unconfined)
