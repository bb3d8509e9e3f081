"""Rate limit on wrong tokens.

After too many wrong tokens a client's further ones are not checked for a while, so that a right
token makes no difference either: guessing gains nothing.
"""

import math
import time
from collections.abc import Callable
from http import HTTPStatus

from iraas.web.limits.admission import RateLimiter
from iraas.web.problems import Problem

MINUTE_S = 60.0


class FailedLoginLimiter:
    """Limits wrong tokens by client. Used from the event loop alone.

    Args:
        per_minute: Wrong tokens allowed per minute.
        now: Returns monotonic seconds.
    """

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._limiter = RateLimiter(per_minute / MINUTE_S, per_minute, now)

    def check(self, client: str, is_valid: Callable[[], bool]) -> bool:
        """Check a client's token, and count it if it is wrong, in one step.

        Args:
            client: The client that sent the token.
            is_valid: Checks the token; not called for a client over the limit.

        Raises:
            Problem: The client sent too many wrong tokens (429).
        """
        retry_s = self._limiter.peek(client)
        if retry_s:
            seconds = max(1, math.ceil(retry_s))
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many wrong tokens",
                code="too-many-wrong-tokens",
                remedy=f"Try again in {seconds} s with the right token.",
                headers={"Retry-After": str(seconds)},
            )
        valid = is_valid()
        if not valid:
            self._limiter.acquire(client)
        return valid
