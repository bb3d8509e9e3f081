"""Who may use the web tier: a token for programs, a session for browsers.

Sessions are not stored: a session is a random number and its end, signed with a key that comes
from the token. It outlives a restart, is known to every process of the deployment, and ends with
the token.
"""

import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256

COOKIE = "iraas_session"
SESSION_S = 12 * 3600.0


class Access:
    """Checks tokens, sessions and CSRF tokens, all in constant time.

    Args:
        token: What programs and people must know; None for free access.
        clock: Gives seconds since the epoch.
    """

    def __init__(self, token: str | None, clock: Callable[[], float]) -> None:
        self._token = token
        self._key = hmac.digest(_bytes(token or ""), b"iraas session", sha256)
        self._clock = clock

    @property
    def is_free(self) -> bool:
        """True if there is no token."""
        return self._token is None

    def knows(self, token: str) -> bool:
        """Tell whether that is the token."""
        return self._token is not None and _equal(token, self._token)

    def knows_bearer(self, authorization: str) -> bool:
        """Tell whether an ``Authorization`` header carries the token."""
        credentials = authorization.partition(" ")[2].strip()
        # Servers read headers as Latin-1, clients write tokens in UTF-8.
        read_again = credentials.encode("latin-1", "replace").decode("utf-8", "replace")
        known = self.knows(credentials) | self.knows(read_again)
        return is_bearer(authorization) and known

    def new_session(self) -> str:
        """A session that begins now: the value of a cookie."""
        what = f"{secrets.token_hex(16)}.{int(self._clock() + SESSION_S)}"
        return f"{what}.{self._sign(what)}"

    def knows_session(self, cookie: str) -> bool:
        """Tell whether a cookie is a session of ours that is not over."""
        what, _, signature = cookie.rpartition(".")
        end = what.rpartition(".")[2]
        if not _equal(signature, self._sign(what)) or not end.isdecimal():
            return False
        return int(end) > self._clock()

    def csrf_of(self, cookie: str) -> str:
        """What a form of this session must carry; empty where there are no sessions."""
        return "" if self.is_free else self._sign(f"csrf {cookie}")

    def allows_form(self, cookie: str, csrf: str) -> bool:
        """Tell whether a form was made by a page of this session."""
        return self.is_free or _equal(csrf, self.csrf_of(cookie))

    def _sign(self, what: str) -> str:
        return hmac.new(self._key, _bytes(what), sha256).hexdigest()


def is_bearer(authorization: str) -> bool:
    """Tell whether an ``Authorization`` header carries a token, be it right or wrong."""
    return authorization.partition(" ")[0].lower() == "bearer"


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(_bytes(one), _bytes(other))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
