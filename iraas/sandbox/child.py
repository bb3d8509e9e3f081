"""The child's end of a confined process: private pipes, and no signals but the parent's exit."""

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
    """The child's end of `iraas.sandbox.process.ConfinedProcess`. Make one, at the start.

    The constructor limits files and redirects standard output to stderr, so that the output of
    libraries is not taken for a reply. SIGINT and SIGTERM are ignored: the parent closes the input
    after the last request. Not thread-safe.

    Attributes:
        order: The first request, a JSON object: the configuration of the process.

    Raises:
        MessageError: The first request is cut off or too long.
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
        """The contents of the requests, until the parent closes the pipe or exits."""
        while (request := read_frame(self._source, max_bytes=MAX_REQUEST_BYTES)) is not None:
            yield request

    def reply(self, data: bytes) -> None:
        """Answer the latest request with a frame of this content."""
        write_frame(self._sink, data)
