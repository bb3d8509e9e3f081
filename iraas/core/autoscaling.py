"""Scaling policies: pure functions from an observation to a number of workers."""

from dataclasses import dataclass
from typing import Protocol

from iraas.core.ports import QueueDepth


@dataclass(frozen=True, slots=True)
class Observation:
    """A snapshot of the deployment, as input for a scaling decision.

    Attributes:
        at: Seconds since the epoch.
        queue: The request queue's depth; the counts of a distributed queue lag and are noisy.
        booting: Launched instances whose worker has not reported yet.
        running: Instances whose worker takes work.
        cap: The maximum number of workers.
        images_per_s: The recent throughput of all workers together.
    """

    at: float
    queue: QueueDepth
    booting: int
    running: int
    cap: int
    images_per_s: float = 0.0

    @property
    def workers(self) -> int:
        """The number of workers that are running or booting."""
        return self.booting + self.running


@dataclass(frozen=True, slots=True)
class Decision:
    """The number of workers that a policy wants, and a human-readable reason."""

    wanted: int
    reason: str


class Policy(Protocol):
    """A rule for the size of the fleet. Pure: equal observations give equal decisions."""

    def decide(self, observation: Observation) -> Decision:
        """Return how many workers there should be, in 0..cap, and why."""
        ...


@dataclass(frozen=True, slots=True)
class BacklogPolicy:
    """One worker per `images_per_worker` visible or in-flight images, up to the cap.

    Never scales in: a worker exits by itself when it is idle, so the controller never stops one
    that may hold an image.

    Attributes:
        images_per_worker: Images per worker; at least 1.
    """

    images_per_worker: int = 1

    def decide(self, observation: Observation) -> Decision:
        """Return how many workers there should be, and why."""
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
            reason += f"; {observation.workers} workers exist and exit by themselves"
        return Decision(max(wanted, min(observation.workers, observation.cap)), reason)
