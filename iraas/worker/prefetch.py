"""Limits on the messages and bytes that a classifier process prefetches."""

import threading
from collections.abc import Callable, Sequence


class PrefetchWindow:
    """Counts the messages, and the bytes of their images, between receive and stored outcome.

    Thread-safe. All waits end early once `close` is called.

    Args:
        max_messages: Messages held at most.
        max_bytes: Bytes of images from which on no more messages are received.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._sizes: dict[str, int] = {}
        self._closed = False
        self._changed = threading.Condition()

    def add(self, receipt: str, image_bytes: int) -> None:
        """Count one more message.

        Args:
            receipt: The message's receipt.
            image_bytes: Bytes of its image in memory.
        """
        with self._changed:
            self._sizes[receipt] = image_bytes

    def remove(self, receipts: Sequence[str]) -> None:
        """Count these messages no longer; unknown receipts are ignored. Idempotent."""
        with self._changed:
            for receipt in receipts:
                self._sizes.pop(receipt, None)
            self._changed.notify_all()

    def wait_for_capacity(self, messages: int) -> None:
        """Block until that many more messages fit; any number fits while nothing is held."""
        self._wait(
            lambda: (
                not self._sizes
                or (
                    len(self._sizes) + messages <= self._max_messages
                    and sum(self._sizes.values()) < self._max_bytes
                )
            )
        )

    def wait_until_empty(self) -> None:
        """Block until no message is held."""
        self._wait(lambda: not self._sizes)

    def close(self) -> None:
        """End all waits, now and later. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or condition())
