"""Waiting for a condition: what tests do instead of sleeping, and the only place with a clock."""

import threading
import time
from collections.abc import Callable

PATIENCE_S = 240.0
"""Ends a hang. Nothing that works takes nearly as long, however busy the machine is."""

What = str | Callable[[], str]
"""What is waited for; a function where it is known only when it did not happen."""


def wait_until(
    condition: Callable[[], object], what: What = "it", *, every_s: float = 0.01
) -> None:
    """Wait until a condition is true; fail when it still is not after a long time.

    A condition that is dear to look at is looked at less often.
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
