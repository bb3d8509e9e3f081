"""Latency statistics: percentiles, and a histogram with round bounds."""

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
"""The ratio of longest to shortest from which bounds grow geometrically, not linearly."""


@dataclass(frozen=True, slots=True)
class HistogramBucket:
    """The number of values in ``from_s <= value < to_s``."""

    from_s: float
    to_s: float
    count: int


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Compute a percentile by the nearest-rank method: always one of the values.

    Args:
        ordered: The values, in ascending order.
        percent: 0 < percent <= 100.

    Raises:
        ValueError: There are no values, or `percent` is out of range.
    """
    if not ordered:
        raise ValueError("no values: no percentiles")
    if not 0 < percent <= MAX_PERCENT:
        raise ValueError(f"{percent} is not a percentile")
    rank = math.ceil(percent * len(ordered) / 100 - 1e-9)
    return ordered[max(rank, 1) - 1]


def histogram(ordered: Sequence[float], bars: int = 12) -> list[HistogramBucket]:
    """Count values in buckets with round bounds: linear, or geometric for a wide spread.

    Args:
        ordered: The values, >= 0, in ascending order.
        bars: The approximate number of buckets, fewer for few values; at most three times as many.

    Returns:
        Adjacent buckets from the smallest to the largest value; none if there are no values.
    """
    if not ordered:
        return []
    bars = min(bars, max(3, len(ordered)))
    low, high = max(ordered[0], 1e-6), max(ordered[-1], 1e-6)
    bounds = _by_factors(low, high, bars) if high / low >= _WIDE else _by_steps(low, high, bars)
    last = len(bounds) - 2
    counts = Counter(min(max(bisect_right(bounds, value) - 1, 0), last) for value in ordered)
    return [
        HistogramBucket(start, end, counts[index])
        for index, (start, end) in enumerate(pairwise(bounds))
    ]


def _by_steps(low: float, high: float, bars: int) -> list[float]:
    # Bounds are displayed with three digits: closer ones would look the same.
    step = _round_up(max((high - low) / bars, high / 100), _STEPS)
    first = math.floor(low / step + 1e-9)
    last = math.floor(high / step + 1e-9) + 1
    return [_exact(number * step) for number in range(first, last + 1)]


def _by_factors(low: float, high: float, bars: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 4)
    bounds = [_exact(factor * 10.0**power) for power in powers for factor in _NICE]
    first = bisect_right(bounds, low) - 1
    needed = bisect_right(bounds, high) - first
    every = math.ceil(needed / bars)
    chosen = bounds[first::every]
    return chosen[: bisect_right(chosen, high) + 1]


def _exact(bound: float) -> float:
    """Remove floating-point noise from a round number."""
    return round(bound, 12)


def _round_up(value: float, nice: Sequence[float]) -> float:
    power: float = 10.0 ** math.floor(math.log10(value))
    return power * next(factor for factor in nice if factor * power >= value * (1 - 1e-9))
