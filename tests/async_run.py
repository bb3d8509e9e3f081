"""Running a coroutine where an event loop may be running already."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in a loop and a thread of its own.

    The browser's driver leaves its loop running in the main thread of a test process, where
    `asyncio.run` is refused from then on.
    """
    with ThreadPoolExecutor(1, "async-run") as thread:
        return thread.submit(asyncio.run, coroutine).result()
