"""How often one client may be wrong about the token.

Whoever was wrong too often is not even heard for a while: a right token then tells nothing either.
"""

import math
import time
from collections.abc import Callable
from http import HTTPStatus

from iraas.web.admission import RateLimiter
from iraas.web.problems import Problem

MINUTE_S = 60.0


class TokenTries:
    """Counts wrong tokens, by client. Used from the event loop alone.

    Args:
        per_minute: So many are forgiven.
        now: Gives monotonic seconds.
    """

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._wrong = RateLimiter(per_minute / MINUTE_S, per_minute, now)

    def check(self, client: str) -> None:
        """Hear a client's token.

        Raises:
            Problem: It was wrong too often.
        """
        retry_s = self._wrong.look(client)
        if retry_s:
            seconds = max(1, math.ceil(retry_s))
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "the token was wrong too often",
                code="too-many-wrong-tokens",
                remedy=f"Try again in {seconds} s, with the right one.",
                headers={"Retry-After": str(seconds)},
            )

    def note_wrong(self, client: str) -> None:
        """Remember that a client's token was wrong."""
        self._wrong.take(client)
