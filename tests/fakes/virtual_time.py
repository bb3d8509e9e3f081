"""An event loop whose clock jumps to the next timer: hours pass at once, and always alike."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.async_run import run_async

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits. For code that waits for timers and futures alone."""

    def __init__(self) -> None:
        self._virtual_s = 0.0
        super().__init__()

    def time(self) -> float:
        return self._virtual_s

    def _run_once(self) -> None:
        # The head of the heap may be a cancelled timer; the next one would be awaited really.
        due = [one.when() for one in self._scheduled if not one.cancelled()]  # type: ignore[attr-defined]
        if not self._ready and due:  # type: ignore[attr-defined]
            self._virtual_s = max(self._virtual_s, min(due))
        super()._run_once()  # type: ignore[misc]


def run_virtually(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    return run_async(coroutine, VirtualLoop)
