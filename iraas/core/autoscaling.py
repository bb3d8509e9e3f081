"""How many workers there should be: pure rules, asked by the controller and by the simulation."""

from dataclasses import dataclass
from typing import Protocol

from iraas.core.ports import QueueDepth


@dataclass(frozen=True, slots=True)
class Observation:
    """What the controller sees at one moment.

    Attributes:
        at: Seconds since the epoch.
        queue: The request queue's depth; the counts of a distributed queue lag and are noisy.
        booting: Instances launched whose worker has not reported yet.
        running: Instances whose worker takes work.
        cap: The most workers there may be.
        images_per_s: What all workers together did lately.
    """

    at: float
    queue: QueueDepth
    booting: int
    running: int
    cap: int
    images_per_s: float = 0.0

    @property
    def workers(self) -> int:
        """Workers that are there or on their way."""
        return self.booting + self.running


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers a policy wants, and why, in words for a person."""

    wanted: int
    reason: str


class Policy(Protocol):
    """A rule for the size of the fleet. Pure: the same observations give the same decisions."""

    def decide(self, observation: Observation) -> Decision:
        """Say how many workers there should be, in 0..cap, and why."""
        ...


@dataclass(frozen=True, slots=True)
class BacklogPolicy:
    """A worker for every so many images that wait or are in flight, up to the cap.

    It never asks for fewer workers than there are: a worker leaves by itself when there is nothing
    left, so the controller never stops one that may hold an image.

    Attributes:
        images_per_worker: Images that justify one worker; at least 1.
    """

    images_per_worker: int = 1

    def decide(self, observation: Observation) -> Decision:
        """Say how many workers there should be, and why."""
        queue = observation.queue
        images = queue.visible + queue.in_flight
        needed = -(-images // self.images_per_worker)
        wanted = min(needed, observation.cap)
        if images == 0:
            reason = "no image waits or is in flight"
        else:
            waiting = "1 image waits" if queue.visible == 1 else f"{queue.visible:,} images wait"
            reason = f"{waiting}, {queue.in_flight:,} in flight"
            if needed > observation.cap:
                reason += f"; the cap is {observation.cap}"
        if wanted < observation.workers:
            reason += f"; {observation.workers} workers are there and leave by themselves"
        return Decision(max(wanted, min(observation.workers, observation.cap)), reason)
