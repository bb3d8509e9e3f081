"""Heartbeats of a classifier process to its supervisor: one JSON object per line, over a pipe."""

import json
from dataclasses import asdict, dataclass

from iraas.core.json_record import read_record


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The state of a classifier process, sent after each receive and each batch of outcomes.

    Attributes:
        model: The loaded bundle, as ``name@hash``.
        done: Outcomes stored since the process started, failures included.
        failed: Failures among them.
        empty_polls: Consecutive receives without a message.
        in_flight: The receipts of the messages it holds; its supervisor releases them if it dies.
        draining: Whether it has stopped receiving.
        error: Why it cannot work at all; empty otherwise. The process exits after sending it.
    """

    model: str
    done: int = 0
    failed: int = 0
    empty_polls: int = 0
    in_flight: tuple[str, ...] = ()
    draining: bool = False
    error: str = ""

    def encode(self) -> bytes:
        """The heartbeat as one line of JSON, line break included."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"


def decode_heartbeat(line: bytes) -> Heartbeat:
    """Read one line of the pipe.

    Raises:
        MessageError: The line is not a heartbeat.
    """
    return read_record(line, Heartbeat)
