"""A terminal for a command to run on."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.waiting import PATIENCE_S, wait_until

CTRL_C = b"\x03"
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>].?|\r")


class Terminal:
    """A pseudo-terminal with a command on it.

    Attributes:
        written: All that the command wrote so far.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=environment,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - it makes one system call
        )
        os.close(theirs)
        self.written = b""

    @property
    def text(self) -> str:
        """The written text without colours and cursor movements."""
        return _STEERING.sub("", self.written.decode("utf-8", "replace"))

    def press(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._ours, keys)

    def wait_for(self, text: str) -> None:
        """Wait until a text was written."""
        wait_until(
            lambda: text in self.text or not self._read(), lambda: f"{text!r} in {self.text}"
        )
        assert text in self.text, (text, self.text)

    def finish(self) -> int:
        """Wait for the command's end and return its exit code."""
        wait_until(lambda: not self._read(), lambda: f"the end of {self.text}")
        os.close(self._ours)
        code = self._process.wait(PATIENCE_S)
        assert "Traceback" not in self.text, self.text
        return code

    def _read(self) -> bool:
        """Read the output that comes soon; False once the writer has closed."""
        if not select.select([self._ours], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            return False
        self.written += data
        return bool(data)


def _take_terminal() -> None:
    """Make the terminal the one that Ctrl-C is typed on."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
