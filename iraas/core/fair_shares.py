"""Fair shares of the workers' time between the groups (the jobs) that share a queue.

This is start-time fair queueing (Goyal, Vin and Cheng, 1996) by measured time, in the form in which
Linux's completely fair scheduler has it:

- Each group has a virtual time: the seconds of work that its messages have cost, and for those in
  flight what they will cost by the moving average of its costs (`FIRST_COST_S` while none is
  known). Of the groups that wait, the one with the least is received from next, its messages in the
  order in which they came. All groups weigh the same. One receive may go on with a group as
  long as it leads the next by no more than `QUANTUM_S`, the minimum granularity of such schedulers:
  each group in a receive costs a query and two updates.
- A message's cost is known when it is deleted or released, or its lease ends. It is what its
  consumer tells that it took, at most the time under lease. Without that it is the time under
  lease, divided by the messages that are given back in the same call: who takes one message at a
  time, or gives back together what was received together, is charged exactly.
- A group that begins to wait starts at the least virtual time of those that wait, unless its own is
  later: pausing saves up no credit, and leaving sheds no debt while others wait.

So while two groups wait, the times that they get differ by no more than the quantum, the costliest
message of each and what is in flight, whatever their numbers and costs.
"""

from dataclasses import dataclass

FIRST_COST_S = 0.1
"""What a message is taken to cost until one of its group is done: several times an image's cost on
a core, well under that of a hostile one."""
LEAST_COST_S = 0.001
"""What a message costs at least: about what its queue and its stores take."""
QUANTUM_S = 0.1
"""By how much a group may lead another within one receive: well under what a person notices."""
MOST_COST_S = 600.0
"""What a message costs at most: a machine that slept, or a clock that jumped, is no work."""
_GAIN = 0.125
"""The weight of one more cost in the average, as in TCP's round-trip times (Jacobson, 1988)."""


def cost_s(held_s: float, told_s: float | None = None, together: int = 1) -> float:
    """What a message cost, in seconds.

    Args:
        held_s: How long it was under lease.
        told_s: What its consumer says that it took; None if it says nothing.
        together: How many messages were given back with it.
    """
    # The bounds stand first: what is no number loses each comparison, and gives the bound.
    taken_s = held_s / together if told_s is None else min(held_s, told_s)
    return min(MOST_COST_S, max(LEAST_COST_S, taken_s))


@dataclass(slots=True)
class Costs:
    """The costs of messages of one group that are given back in one call.

    Attributes:
        sum_s: Their sum.
        count: How many they are.
    """

    sum_s: float = 0.0
    count: int = 0

    def add(self, cost: float) -> None:
        """Add a message's cost."""
        self.sum_s += cost
        self.count += 1

    @property
    def mean_s(self) -> float:
        """Their mean; 0 if there is none."""
        return self.sum_s / self.count if self.count else 0.0

    @property
    def weight(self) -> float:
        """The weight of their mean in the group's average: that of so many single costs."""
        return 1 - (1 - _GAIN) ** self.count
