"""The hand: what a classifier process holds, and the waits for room in it."""

import threading
from collections.abc import Callable

from iraas.worker.prefetch import Hand
from tests.waiting import wait_until


def started(wait: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_there_is_room_until_it_is_full() -> None:
    hand = Hand(max_messages=3, max_bytes=100)
    hand.take("a", 1)
    hand.wait_for_room(2)
    waiting = started(lambda: hand.wait_for_room(3))
    waiting.join(0.05)
    assert waiting.is_alive()
    hand.put_down(["a"])
    wait_until(lambda: not waiting.is_alive(), "room")


def test_many_bytes_fill_it_too() -> None:
    hand = Hand(max_messages=10, max_bytes=100)
    hand.take("a", 100)
    waiting = started(lambda: hand.wait_for_room(1))
    waiting.join(0.05)
    assert waiting.is_alive()
    hand.put_down(["a"])
    wait_until(lambda: not waiting.is_alive(), "room")


def test_anything_fits_into_an_empty_hand() -> None:
    Hand(max_messages=1, max_bytes=1).wait_for_room(10)


def test_waiting_until_it_is_empty() -> None:
    hand = Hand(max_messages=3, max_bytes=100)
    hand.wait_until_empty()
    hand.take("a", 0)
    waiting = started(hand.wait_until_empty)
    waiting.join(0.05)
    assert waiting.is_alive()
    hand.put_down(["a", "never held"])
    wait_until(lambda: not waiting.is_alive(), "emptiness")


def test_closing_ends_all_waits_now_and_later() -> None:
    hand = Hand(max_messages=1, max_bytes=1)
    hand.take("a", 1)
    waiting = [started(hand.wait_until_empty), started(lambda: hand.wait_for_room(1))]
    hand.close()
    wait_until(lambda: not any(one.is_alive() for one in waiting), "the end of the waits")
    hand.wait_until_empty()
