"""The load to generate: how many requests, how many at once, and when each is due."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

Arrivals = Literal["poisson", "fixed"]
Api = Literal["classify", "inputfile"]


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The load to generate.

    Without a rate the loop is closed: each client sends its next request when the previous one is
    answered, so that a slow system gets fewer requests. With a rate the loop is open: requests are
    due at times of their own, independent of earlier results.

    Attributes:
        requests: Number of requests; None for as many as the duration allows. One of the two is
            given.
        duration_s: No request is due later than this many seconds after the start; None for no end.
        in_flight: Maximum number of unanswered requests. In an open loop further requests wait, and
            that wait is part of their latency.
        timeout_s: Timeout of a request after it was due.
        rate_per_s: Requests due per second; None for a closed loop.
        give_up_s: The run ends after so many seconds with nothing but connection errors.
        arrivals: Whether due times are random (a Poisson process) or evenly spaced.
    """

    requests: int | None
    duration_s: float | None
    in_flight: int
    timeout_s: float
    rate_per_s: float | None = None
    arrivals: Arrivals = "poisson"
    give_up_s: float = 3.0


def due_times(plan: LoadPlan, random: Random) -> Iterator[float]:
    """Generate the due times of an open loop's requests, in seconds after the start, in order."""
    assert plan.rate_per_s is not None, "a closed loop has no due times"
    due_s = 0.0
    for number in itertools.count():
        if plan.arrivals == "fixed":
            due_s = number / plan.rate_per_s
        elif number:
            due_s += random.expovariate(plan.rate_per_s)
        if plan.requests is not None and number >= plan.requests:
            return
        if plan.duration_s is not None and due_s >= plan.duration_s:
            return
        yield due_s
