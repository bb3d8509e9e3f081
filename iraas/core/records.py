"""What workers and the controller write of themselves, for `iraas status` and for each other."""

import json
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from iraas.core.json_record import read_record

WorkerState = Literal["starting", "running", "draining", "gone", "broken"]
STOPPED: Final = "gone"
"""A worker exited in order. The word is that of stored records and of `iraas status --json`."""
FAILED: Final = "broken"
"""A worker exited because it could not work. The word is stored and shown as above."""


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """What a worker last said of itself.

    Attributes:
        worker_id: Its id, which is its instance's id in the fleet.
        state: ``starting`` until the model is loaded, ``draining`` once it takes no more work,
            ``gone`` when it has left in order, ``broken`` when it left because it could not work.
        started_at: Seconds since the epoch.
        beat_at: When it said this, in seconds since the epoch.
        processes: How many classifier processes it runs.
        done: Outcomes it stored, failures included, since it started.
        failed: Failures among them.
        images_per_s: Its rate since its last record.
        model: The bundle it runs, as ``name@hash``; empty until it is loaded.
        reason: Why it left, or why it is draining.
        manual: Whether a person started it, and not the fleet.
    """

    worker_id: str
    state: WorkerState
    started_at: float
    beat_at: float
    processes: int = 1
    done: int = 0
    failed: int = 0
    images_per_s: float = 0.0
    model: str = ""
    reason: str = ""
    manual: bool = False

    def encode(self) -> bytes:
        """The record as JSON."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """One decision of the controller, with what it saw.

    Attributes:
        at: Seconds since the epoch.
        visible: Requests that wait.
        in_flight: Requests that a worker holds.
        delayed: Requests that are not to be seen yet.
        booting: Instances that have not reported.
        running: Instances whose worker works.
        wanted: How many workers the policy wants.
        launched: How many instances were launched.
        removed: Instances that were ended, with the reason of each.
        reason: Why the policy wants that many, and what stood in the way.
        broken_in_a_row: Workers that left because they could not work, since one last worked.
    """

    at: float
    visible: int
    in_flight: int
    delayed: int
    booting: int
    running: int
    wanted: int
    launched: int
    reason: str
    removed: dict[str, str] = field(default_factory=dict)
    broken_in_a_row: int = 0

    def encode(self) -> bytes:
        """The record as JSON."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """An instance that costs money.

    Attributes:
        instance_id: Its id.
        kind: Its type.
        pricing: ``on-demand`` or ``spot``.
        launched_at: Seconds since the epoch.
        ended_at: When it ended, about, in seconds since the epoch; None until it is missed.
        role: ``worker``, or what else it was there for.
    """

    instance_id: str
    kind: str
    pricing: str
    launched_at: float
    ended_at: float | None = None
    role: str = "worker"

    def encode(self) -> bytes:
        """The record as JSON."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class Budget:
    """A bound on what is spent on instances from a moment on.

    Attributes:
        usd: Dollars; once they are spent, nothing is launched.
        since: Seconds since the epoch.
    """

    usd: float
    since: float

    def encode(self) -> bytes:
        """The record as JSON."""
        return json.dumps(asdict(self)).encode()


def decode_instance(data: bytes) -> InstanceRecord:
    """Read an instance's record.

    Raises:
        MessageError: If it is not one.
    """
    return read_record(data, InstanceRecord)


def decode_spend_limit(data: bytes) -> Budget:
    """Read a limit on spending.

    Raises:
        MessageError: If it is not one.
    """
    return read_record(data, Budget)


def decode_worker(data: bytes) -> WorkerRecord:
    """Read a worker's record.

    Raises:
        MessageError: If it is not one.
    """
    return read_record(data, WorkerRecord)


def decode_decision(data: bytes) -> ScalingDecision:
    """Read a decision's record.

    Raises:
        MessageError: If it is not one.
    """
    return read_record(data, ScalingDecision)
