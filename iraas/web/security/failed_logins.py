"""How often one client may be wrong about the token.

Whoever was wrong too often is not even heard for a while: a right token then tells nothing either.
"""

import math
import time
from collections.abc import Callable
from http import HTTPStatus

from iraas.web.limits.admission import RateLimiter
from iraas.web.problems import Problem

MINUTE_S = 60.0


class FailedLoginLimiter:
    """Counts wrong tokens, by client. Used from the event loop alone.

    Args:
        per_minute: So many are forgiven.
        now: Gives monotonic seconds.
    """

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._wrong = RateLimiter(per_minute / MINUTE_S, per_minute, now)

    def hear(self, client: str, is_right: Callable[[], bool]) -> bool:
        """Hear a client's token, and remember it if it is wrong, in one step.

        Args:
            client: Who gives the token.
            is_right: Tells whether it is right; not asked of who was wrong too often.

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
        known = is_right()
        if not known:
            self._wrong.take(client)
        return known
