"""A classifier process, as its supervisor holds it: a pipe to read beats from, a handle to end it.

Its standard input is a pipe that nobody writes to after the start: when the supervisor dies,
however it dies, the pipe closes and the process leaves by itself.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from iraas.errors import MessageError
from iraas.worker.heartbeat import Heartbeat, decode_beat

MAX_LINE_BYTES = 1_000_000


class ClassifierProcess:
    """A running classifier process. Not thread-safe.

    Args:
        command: What to run; it reads one line of settings from its standard input and writes
            beats to its standard output.
        greeting: That line.
        now: Gives monotonic seconds.
        environment: The process's whole environment; this one's if None.

    Attributes:
        beat: The last beat; None until the model is loaded.
        progress_at: When it last did anything, in monotonic seconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        greeting: bytes,
        now: Callable[[], float],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # Inheritable descriptors pass on: one holds the worker's slot in the local fleet, so that
        # the slot is not free before the last process of the worker is gone.
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
        self._stdin.write(greeting + b"\n")
        self._rest = b""
        self._now = now
        self.beat: Heartbeat | None = None
        self.progress_at = now()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def fileno(self) -> int:
        """The descriptor to wait on for beats and for the end."""
        return self._stdout.fileno()

    def read_beats(self) -> bool:
        """Take in what it said; False once it is gone."""
        while True:
            try:
                data = os.read(self._stdout.fileno(), 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._take_in(data)

    def is_stalled(self, stall_timeout_s: float) -> bool:
        """Tell whether it has had messages in hand, or has been starting, for too long."""
        waits_for_work = self.beat is not None and not self.beat.held
        return not waits_for_work and self._now() - self.progress_at > stall_timeout_s

    def drain(self) -> None:
        """Ask it to finish what it is doing and leave."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def reap(self, timeout_s: float | None = None) -> int:
        """Wait for its end and give back its exit status, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: It has not ended within the time.
        """
        status = self._process.wait(timeout_s)
        self._stdin.close()
        self._stdout.close()
        return status

    def _take_in(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-MAX_LINE_BYTES:]
        for line in lines:
            try:
                beat = decode_beat(line)
            except MessageError:
                continue
            if self.beat is None or beat.done != self.beat.done or beat.held != self.beat.held:
                self.progress_at = self._now()
            self.beat = beat

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
