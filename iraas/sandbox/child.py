"""The child's end of a confined process: private pipes, and no signal but its parent's end."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

from iraas.sandbox.frames import read_frame, write_frame
from iraas.sandbox.limits import end_with_parent, limit_files

MAX_REQUEST_BYTES = 1_000_000_000


class Child:
    """The child's end of `iraas.sandbox.process.ConfinedProcess`. Make it once, at the start.

    Its making limits files and moves standard output out of the reach of libraries: what they print
    must not be taken for a reply. Signals to leave are ignored: the parent closes the input once
    the last request is answered.

    Attributes:
        order: The first request: JSON that says what one image may cost.

    Raises:
        MessageError: The parent sent no order.
    """

    def __init__(self) -> None:
        end_with_parent()
        self._sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        limit_files()
        self._source = sys.stdin.buffer
        self.order: dict[str, Any] = json.loads(next(self.requests(), b"{}"))

    def requests(self) -> Iterator[bytes]:
        """The requests, until the parent closes the pipe or is gone."""
        while (request := read_frame(self._source, max_bytes=MAX_REQUEST_BYTES)) is not None:
            yield request

    def reply(self, data: bytes) -> None:
        """Answer the last request."""
        write_frame(self._sink, data)
