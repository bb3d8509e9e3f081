"""What many waiting times come to: percentiles, and a histogram with round bounds."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_NICE = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
MAX_PERCENT = 100
_WIDE = 8.0
"""A spread (longest by shortest) from which on bounds grow by a factor and not by a step."""


@dataclass(frozen=True, slots=True)
class HistogramBucket:
    """How many values lie in ``from_s <= value < to_s``."""

    from_s: float
    to_s: float
    count: int


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all values do not exceed (the nearest rank).

    It is one of the values and never between two of them.

    Args:
        ordered: The values, the smallest first.
        percent: 0 < percent <= 100.

    Raises:
        ValueError: If there are no values, or no such percentile.
    """
    if not ordered:
        raise ValueError("nothing has no percentiles")
    if not 0 < percent <= MAX_PERCENT:
        raise ValueError(f"there is no percentile {percent}")
    rank = math.ceil(percent * len(ordered) / 100 - 1e-9)
    return ordered[max(rank, 1) - 1]


def histogram(ordered: Sequence[float], bars: int = 12) -> list[HistogramBucket]:
    """Count values between round bounds: in equal steps, or by factors if they spread far.

    Args:
        ordered: The values, not negative, the smallest first.
        bars: About how many bars, fewer for a few values; never more than three times as many.

    Returns:
        Adjacent bars from the smallest to the greatest value; none if there are no values.
    """
    if not ordered:
        return []
    bars = min(bars, max(3, len(ordered)))
    low, high = max(ordered[0], 1e-6), max(ordered[-1], 1e-6)
    bounds = _by_factors(low, high, bars) if high / low >= _WIDE else _by_steps(low, high, bars)
    last = len(bounds) - 2
    counts = Counter(min(max(bisect_right(bounds, one) - 1, 0), last) for one in ordered)
    return [
        HistogramBucket(start, end, counts[place])
        for place, (start, end) in enumerate(pairwise(bounds))
    ]


def _by_steps(low: float, high: float, bars: int) -> list[float]:
    # Bounds are told with three digits: closer ones would read the same.
    step = _round_up(max((high - low) / bars, high / 100), _STEPS)
    first = math.floor(low / step + 1e-9)
    last = math.floor(high / step + 1e-9) + 1
    return [_exact(place * step) for place in range(first, last + 1)]


def _by_factors(low: float, high: float, bars: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 4)
    bounds = [_exact(factor * 10.0**power) for power in powers for factor in _NICE]
    first = bisect_right(bounds, low) - 1
    needed = bisect_right(bounds, high) - first
    every = math.ceil(needed / bars)
    chosen = bounds[first::every]
    return chosen[: bisect_right(chosen, high) + 1]


def _exact(bound: float) -> float:
    """A round number without the noise of its making."""
    return round(bound, 12)


def _round_up(value: float, nice: Sequence[float]) -> float:
    power: float = 10.0 ** math.floor(math.log10(value))
    return power * next(one for one in nice if one * power >= value * (1 - 1e-9))
