"""Waiting for a condition, with a bound: what tests do instead of sleeping."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], what: str = "it", timeout_s: float = 60.0) -> None:
    """Wait until a condition is true; fail when it is not within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.01)
