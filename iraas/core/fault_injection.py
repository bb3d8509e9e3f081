"""Fault injection for tests: named points of the worker at which a process can be killed.

In production the hook does nothing. The acceptance tests request real SIGKILLs at these points
through the environment of the processes that they start.
"""

import os
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

FaultHook = Callable[[str, str], None]
"""Called with a point's name and the image's name."""

FAULTS_VARIABLE = "IRAAS_TEST_FAULTS"
"""The environment variable that passes the rules to the classifier processes."""

POINTS = ("decode", "input-stored", "outcome-stored", "replied", "deleted")


def no_fault(_point: str, _name: str) -> None:
    """Do nothing: the hook in production."""


def parse_faults(text: str) -> FaultHook:
    """Parse comma-separated rules like ``decode:killer.jpg`` or ``replied:7.jpg@/folder``.

    A rule kills the process with SIGKILL at its point if the image's name has that suffix. With a
    folder it does so once per image, whatever process handles it: the folder holds a marker file
    for each kill. An empty text gives `no_fault`.

    Raises:
        ValueError: A rule names no point.
    """
    rules = [_parse_rule(rule) for rule in text.split(",") if rule]
    if not rules:
        return no_fault

    def hook(point: str, name: str) -> None:
        for at, suffix, marks in rules:
            if at == point and name.endswith(suffix) and _is_due(marks, name):
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
