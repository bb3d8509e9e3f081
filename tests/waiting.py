"""Waiting for a condition instead of sleeping: the only module of the tests with a real clock."""

import threading
import time
from collections.abc import Callable

PATIENCE_S = 240.0
"""A bound that only ends a hang: no working code takes nearly as long on a busy machine."""

What = str | Callable[[], str]
"""A description of the awaited event, or a function that makes one after a timeout."""


def wait_until(
    condition: Callable[[], object], what: What = "it", *, every_s: float = 0.01
) -> None:
    """Wait until a condition is true; fail when it still is not after a long time.

    An expensive condition is checked less often.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            expected = what if isinstance(what, str) else what()
            raise AssertionError(f"did not happen within {PATIENCE_S:g} s: {expected}")
        time.sleep(every_s)


def join(*threads: threading.Thread) -> None:
    """Wait for the end of threads; fail when one goes on."""
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), f"{thread.name} did not end within {PATIENCE_S:g} s"
