"""What a classifier process has in its hands, so that it never holds more than it should."""

import threading
from collections.abc import Callable, Sequence


class Hand:
    """The messages, and the bytes of their images, between receive and outcome.

    Thread-safe. Waits end early when `close` is called.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._sizes: dict[str, int] = {}
        self._closed = False
        self._changed = threading.Condition()

    def take(self, receipt: str, image_bytes: int) -> None:
        """Have one more message, with its image's size."""
        with self._changed:
            self._sizes[receipt] = image_bytes

    def put_down(self, receipts: Sequence[str]) -> None:
        """Have these no longer."""
        with self._changed:
            for receipt in receipts:
                self._sizes.pop(receipt, None)
            self._changed.notify_all()

    def wait_for_room(self, messages: int) -> None:
        """Wait until that many more messages fit. They always fit into an empty hand."""
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
        """Wait until nothing is in hand."""
        self._wait(lambda: not self._sizes)

    def close(self) -> None:
        """End all waits, now and later."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or condition())
