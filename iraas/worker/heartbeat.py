"""What a classifier process tells its supervisor: one JSON object a line, over a pipe."""

import json
from dataclasses import asdict, dataclass

from iraas.core.json_record import read_record


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The state of a classifier process, told after each receive and each batch of outcomes.

    Attributes:
        model: The bundle it runs, as ``name@hash``.
        done: Outcomes it stored since it started.
        failed: Failures among them.
        empty_polls: Receives that brought nothing, since the last that did.
        held: The receipts of the messages in its hands: its supervisor releases them if it dies.
        draining: Whether it takes no more.
        error: Why it cannot work at all; it leaves after saying so.
    """

    model: str
    done: int = 0
    failed: int = 0
    empty_polls: int = 0
    held: tuple[str, ...] = ()
    draining: bool = False
    error: str = ""

    def encode(self) -> bytes:
        """The beat as one line."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"


def decode_beat(line: bytes) -> Heartbeat:
    """Read a line of the pipe.

    Raises:
        MessageError: If it is no beat.
    """
    return read_record(line, Heartbeat)
