"""Fair queueing: equal shares of the workers' time for the groups (the jobs) that share a queue.

This is start-time fair queueing (Goyal, Vin and Cheng, 1996) by measured time, as in Linux's
completely fair scheduler:

- Each group has a virtual time: the seconds of work that its messages have cost, plus an estimate
  for those in flight by the moving average of its costs (`FIRST_COST_S` while none is known). The
  waiting group with the lowest virtual time is received from next, its messages in order of
  arrival. All groups weigh the same. One receive may continue with a group as long as it leads the
  next by no more than `QUANTUM_S`, the minimum granularity of such schedulers: each group in a
  receive costs a query and two updates.
- A message's cost is known when it is deleted or released, or its lease ends. It is the time that
  its consumer reports, at most the time under lease. Without a report it is the time under lease,
  divided by the messages settled in the same call: exact for a consumer that takes one message at a
  time, or settles together the messages that it received together.
- A group that becomes active starts at the lowest virtual time of the waiting groups, unless its
  own is higher: pausing accumulates no credit, and leaving clears no debt while others wait.

So while two groups wait, the times that they get differ by no more than the quantum, the costliest
message of each and what is in flight, whatever their numbers and costs.
"""

from dataclasses import dataclass

FIRST_COST_S = 0.1
"""The estimated cost of a message until one of its group is done: several times an image's cost on
a core, well under that of a hostile one."""
LEAST_COST_S = 0.001
"""The minimum cost of a message: about the time of its queue and store operations."""
QUANTUM_S = 0.1
"""By how much a group may lead another within one receive: not noticeable for a person."""
MOST_COST_S = 600.0
"""The maximum cost of a message: a suspended machine or a clock jump is not work."""
_GAIN = 0.125
"""The weight of one more cost in the average, as in TCP's round-trip times (Jacobson, 1988)."""


def cost_s(held_s: float, reported_s: float | None = None, together: int = 1) -> float:
    """Compute the cost of a message, in seconds, within `LEAST_COST_S`..`MOST_COST_S`.

    Args:
        held_s: The time under lease, in seconds.
        reported_s: The time that its consumer reports, in seconds; None without a report.
        together: The number of messages settled in the same call, this one included.
    """
    # The bounds are the first arguments: NaN loses each comparison, so that the bound results.
    taken_s = held_s / together if reported_s is None else min(held_s, reported_s)
    return min(MOST_COST_S, max(LEAST_COST_S, taken_s))


@dataclass(slots=True)
class Costs:
    """The costs of one group's messages that are settled in one call.

    Attributes:
        sum_s: Their sum, in seconds.
        count: The number of messages.
    """

    sum_s: float = 0.0
    count: int = 0

    def add(self, cost: float) -> None:
        """Add a message's cost."""
        self.sum_s += cost
        self.count += 1

    @property
    def mean_s(self) -> float:
        """Their mean, in seconds; 0 if there is none."""
        return self.sum_s / self.count if self.count else 0.0

    @property
    def weight(self) -> float:
        """The weight of their mean in the group's moving average: that of `count` single costs."""
        return 1 - (1 - _GAIN) ** self.count
