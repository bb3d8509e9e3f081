"""Records that workers and the controller write, for `iraas status` and for each other."""

from dataclasses import dataclass, field
from typing import Final, Literal

from iraas.core.json_record import read_record, write_record

WorkerState = Literal["starting", "running", "draining", "gone", "broken"]
STOPPED: Final = "gone"
"""A worker exited in order. The word is that of stored records and of `iraas status --json`."""
FAILED: Final = "broken"
"""A worker exited because it could not work. The word is stored and shown as above."""


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """The last heartbeat of a worker.

    Attributes:
        worker_id: Its id, which is its instance's id in the fleet.
        state: ``starting`` until the model is loaded, ``draining`` once it takes no more work,
            ``gone`` after a regular exit, ``broken`` after it exited because it could not work.
        started_at: Seconds since the epoch.
        beat_at: The time of this heartbeat, in seconds since the epoch.
        processes: The number of its classifier processes.
        done: Outcomes that it stored since it started, failures included.
        failed: Failures among them.
        images_per_s: Its throughput since the previous heartbeat.
        model: The bundle it runs, as ``name@hash``; empty until it is loaded.
        reason: Why it exited, or why it is draining.
        manual: Whether a person started it, not the fleet.
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
    manual: bool = field(default=False, metadata={"stored": "by_hand"})

    def encode(self) -> bytes:
        """Encode the record as JSON."""
        return write_record(self)


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """One decision of the controller, with the observation behind it.

    Attributes:
        at: Seconds since the epoch.
        visible: Requests that are waiting.
        in_flight: Requests under lease of a worker.
        delayed: Requests whose delay is not over.
        booting: Instances whose worker has not reported yet.
        running: Instances whose worker is working.
        wanted: The number of workers that the policy wants.
        launched: The number of instances that were launched.
        removed: The ids of terminated instances, each with the reason.
        reason: The policy's reason, and why fewer instances were launched.
        broken_in_a_row: Consecutive workers that exited because they could not work.
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
        """Encode the record as JSON."""
        return write_record(self)


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """The record of a billed instance.

    Attributes:
        instance_id: Its id.
        kind: Its instance type.
        pricing: ``on-demand`` or ``spot``.
        launched_at: Seconds since the epoch.
        ended_at: The approximate end, in seconds since the epoch; None while it is not missed.
        role: ``worker``, or another purpose such as ``web``.
    """

    instance_id: str
    kind: str
    pricing: str
    launched_at: float
    ended_at: float | None = None
    role: str = "worker"

    def encode(self) -> bytes:
        """Encode the record as JSON."""
        return write_record(self)


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on the estimated cost of instances.

    Attributes:
        usd: US dollars; once they are spent, nothing more is launched.
        since: The start of the period that counts, in seconds since the epoch.
    """

    usd: float
    since: float

    def encode(self) -> bytes:
        """Encode the record as JSON."""
        return write_record(self)


def decode_instance(data: bytes) -> InstanceRecord:
    """Decode an instance's record.

    Raises:
        MessageError: The record is corrupt.
    """
    return read_record(data, InstanceRecord)


def decode_budget(data: bytes) -> Budget:
    """Decode the budget's record.

    Raises:
        MessageError: The record is corrupt.
    """
    return read_record(data, Budget)


def decode_worker(data: bytes) -> WorkerRecord:
    """Decode a worker's record.

    Raises:
        MessageError: The record is corrupt.
    """
    return read_record(data, WorkerRecord)


def decode_decision(data: bytes) -> ScalingDecision:
    """Decode a scaling decision's record.

    Raises:
        MessageError: The record is corrupt.
    """
    return read_record(data, ScalingDecision)
