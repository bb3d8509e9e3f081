"""A seam for tests: named points of the worker at which a fault can be asked for.

The product calls the hook at each point and nothing happens; the acceptance tests ask for deaths
there, with real signals, through the environment of the processes they start.
"""

import os
import random
import signal
from collections.abc import Callable

FaultHook = Callable[[str, str], None]
"""Called with a point's name and the picture's name."""

POINTS = ("decode", "input-stored", "outcome-stored", "replied", "deleted")


def no_fault(_point: str, _name: str) -> None:
    """The hook of every real worker."""


def parse_faults(text: str) -> FaultHook:
    """Make a hook from rules like ``decode:killer.jpg`` or ``replied:*@0.05``, comma-separated.

    A rule kills the process with SIGKILL at its point for a picture whose name ends so (``*``: for
    any), always or with the given probability. An empty text gives `no_fault`.

    Raises:
        ValueError: If a rule names no point.
    """
    rules = [_parse_rule(rule) for rule in text.split(",") if rule]
    if not rules:
        return no_fault
    chance = random.Random()  # noqa: S311 - chooses when to die in a test

    def hook(point: str, name: str) -> None:
        for at, ending, probability in rules:
            if at == point and name.endswith(ending) and chance.random() < probability:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def _parse_rule(rule: str) -> tuple[str, str, float]:
    point, _, rest = rule.partition(":")
    name, _, probability = rest.partition("@")
    if point not in POINTS or not name:
        raise ValueError(f"{rule!r} is not POINT:NAME[@PROBABILITY] with a point of {POINTS}")
    return point, "" if name == "*" else name, float(probability or 1)
