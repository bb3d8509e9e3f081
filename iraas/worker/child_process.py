"""The supervisor's handle of a classifier process: reads its heartbeats and ends it.

The child's standard input is a pipe that is written to once, at the start: when the supervisor
dies, for whatever reason, the pipe closes and the child exits by itself.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from iraas.errors import MessageError
from iraas.worker.heartbeat import Heartbeat, decode_heartbeat

MAX_LINE_BYTES = 1_000_000


class ClassifierProcess:
    """A running classifier process. Not thread-safe.

    Args:
        command: The command line. The program reads one line of settings from its standard input
            and writes heartbeats to its standard output.
        settings_line: That line, without its line break.
        now: Returns monotonic seconds.
        environment: The process's whole environment; None inherits this one's.

    Attributes:
        heartbeat: The last heartbeat; None until the model is loaded.
        progress_at: When a heartbeat last showed progress, in monotonic seconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        settings_line: bytes,
        now: Callable[[], float],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # Inheritable descriptors are passed on: one holds the worker's slot in the local fleet, so
        # that the slot stays taken until the last process of the worker has exited.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
            bufsize=0,
            env=environment,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin
        self._stdout = self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self._stdin.write(settings_line + b"\n")
        self._partial_line = b""
        self._now = now
        self.heartbeat: Heartbeat | None = None
        self.progress_at = now()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def fileno(self) -> int:
        """The descriptor that is readable when there are heartbeats, and at the process's exit."""
        return self._stdout.fileno()

    def read_heartbeats(self) -> bool:
        """Read the pending heartbeats without blocking; False once the process has exited.

        Lines that are not heartbeats are skipped.
        """
        while True:
            try:
                data = os.read(self._stdout.fileno(), 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._parse(data)

    def is_stalled(self, stall_timeout_s: float) -> bool:
        """Whether it has been loading, or holding messages, without progress for too long.

        Args:
            stall_timeout_s: Seconds without progress that are too long.
        """
        waits_for_work = self.heartbeat is not None and not self.heartbeat.in_flight
        return not waits_for_work and self._now() - self.progress_at > stall_timeout_s

    def drain(self) -> None:
        """Send SIGTERM: finish the current work, then exit. Does nothing after the exit."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL. Does nothing after the exit."""
        self._signal(signal.SIGKILL)

    def reap(self, timeout_s: float | None = None) -> int:
        """Wait for the exit, close the pipes and return the exit status, negative for a signal.

        Args:
            timeout_s: Seconds to wait; None waits without limit.

        Raises:
            subprocess.TimeoutExpired: The process has not exited in time.
        """
        status = self._process.wait(timeout_s)
        self._stdin.close()
        self._stdout.close()
        return status

    def _parse(self, data: bytes) -> None:
        *lines, self._partial_line = (self._partial_line + data).split(b"\n")
        self._partial_line = self._partial_line[-MAX_LINE_BYTES:]
        for line in lines:
            try:
                new = decode_heartbeat(line)
            except MessageError:
                continue
            old = self.heartbeat
            if old is None or (new.done, new.in_flight) != (old.done, old.in_flight):
                self.progress_at = self._now()
            self.heartbeat = new

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
