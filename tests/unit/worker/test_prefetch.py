"""The prefetch window: its limits and the waits for capacity."""

import threading
from collections.abc import Callable

from iraas.worker.prefetch import PrefetchWindow
from tests.waiting import wait_until


def started(wait: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_there_is_capacity_until_it_is_full() -> None:
    window = PrefetchWindow(max_messages=3, max_bytes=100)
    window.add("a", 1)
    window.wait_for_capacity(2)
    waiting = started(lambda: window.wait_for_capacity(3))
    waiting.join(0.05)
    assert waiting.is_alive()
    window.remove(["a"])
    wait_until(lambda: not waiting.is_alive(), "capacity")


def test_many_bytes_fill_it_too() -> None:
    window = PrefetchWindow(max_messages=10, max_bytes=100)
    window.add("a", 100)
    waiting = started(lambda: window.wait_for_capacity(1))
    waiting.join(0.05)
    assert waiting.is_alive()
    window.remove(["a"])
    wait_until(lambda: not waiting.is_alive(), "capacity")


def test_anything_fits_into_an_empty_window() -> None:
    PrefetchWindow(max_messages=1, max_bytes=1).wait_for_capacity(10)


def test_waiting_until_it_is_empty() -> None:
    window = PrefetchWindow(max_messages=3, max_bytes=100)
    window.wait_until_empty()
    window.add("a", 0)
    waiting = started(window.wait_until_empty)
    waiting.join(0.05)
    assert waiting.is_alive()
    window.remove(["a", "never added"])
    wait_until(lambda: not waiting.is_alive(), "emptiness")


def test_closing_ends_all_waits_now_and_later() -> None:
    window = PrefetchWindow(max_messages=1, max_bytes=1)
    window.add("a", 1)
    waiting = [started(window.wait_until_empty), started(lambda: window.wait_for_capacity(1))]
    window.close()
    wait_until(lambda: not any(one.is_alive() for one in waiting), "the end of the waits")
    window.wait_until_empty()
