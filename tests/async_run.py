"""Running a coroutine where the browser's driver may have left its event loop running."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(
    coroutine: Coroutine[Any, Any, T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run a coroutine to its end, in a loop of its own, from the main thread.

    The driver of the browser tests keeps a loop in a greenlet of the main thread, and asyncio
    refuses another one while that one counts as running. It does not run meanwhile.
    """
    others = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(coroutine)
    finally:
        asyncio._set_running_loop(others)
