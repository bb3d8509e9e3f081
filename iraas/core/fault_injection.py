"""A seam for tests: named points of the worker at which a fault can be asked for.

The product calls the hook at each point and nothing happens; the acceptance tests ask for deaths
there, with real signals, through the environment of the processes they start.
"""

import os
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

FaultHook = Callable[[str, str], None]
"""Called with a point's name and the picture's name."""

FAULTS_VARIABLE = "IRAAS_TEST_FAULTS"
"""Carries the rules to the classifier processes."""

POINTS = ("decode", "input-stored", "outcome-stored", "replied", "deleted")


def no_fault(_point: str, _name: str) -> None:
    """The hook of every real worker."""


def parse_faults(text: str) -> FaultHook:
    """Make a hook from rules like ``decode:killer.jpg`` or ``replied:7.jpg@/folder``.

    A rule, of which commas separate several, kills the process with SIGKILL at its point for a
    picture whose name ends so. With a folder it does so once for each picture, whatever process
    comes by: the folder holds a mark of each death. An empty text gives `no_fault`.

    Raises:
        ValueError: If a rule names no point.
    """
    rules = [_parse_rule(rule) for rule in text.split(",") if rule]
    if not rules:
        return no_fault

    def hook(point: str, name: str) -> None:
        for at, ending, marks in rules:
            if at == point and name.endswith(ending) and _is_due(marks, name):
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def _parse_rule(rule: str) -> tuple[str, str, Path | None]:
    point, _, rest = rule.partition(":")
    name, _, marks = rest.partition("@")
    if point not in POINTS or not name:
        raise ValueError(f"{rule!r} is not POINT:NAME[@FOLDER] with a point of {POINTS}")
    return point, name, Path(marks) if marks else None


def _is_due(marks: Path | None, name: str) -> bool:
    if marks is None:
        return True
    try:
        (marks / sha256(name.encode()).hexdigest()).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
