"""Who may use the web tier: a token for programs, a session for browsers.

What is signed is signed by itsdangerous, under a key derived from the token and a salt for each
purpose and deployment, so that nothing signed for one purpose is valid for another. A session is
a random number and the time of its signing: it is known to every process of the deployment,
outlives a restart, and ends after twelve hours, with the token, or when it is revoked
(`iraas.web.security.revocations`).
"""

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from itsdangerous import BadSignature, Signer, TimestampSigner
from starlette.types import Scope

COOKIE = "iraas_session"
SESSION = "iraas.session"
"""Where a request's scope carries the session that let it in."""
SESSION_S = 12 * 3600
ID_BYTES = 16
CSRF_SALT = "iraas.web.csrf"
SESSION_SALT = "iraas.web.session"
_SESSION = re.compile(rf"[0-9a-f]{{{2 * ID_BYTES}}}\.[A-Za-z0-9_-]{{4,11}}\.[A-Za-z0-9_-]{{43}}")
_CSRF = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session, verified.

    Attributes:
        identity: Its random number, as hexadecimal digits. Not a secret without its signature.
        ends_at: When it is over, in seconds since the epoch.
    """

    identity: str
    ends_at: int


class Authenticator:
    """Checks tokens, sessions and CSRF tokens, all in constant time. Thread-safe.

    Args:
        token: What programs and people must know; None for free access.
        clock: Gives seconds since the epoch.
        deployment: The deployment's name: a session of another one is none here.
    """

    def __init__(self, token: str | None, clock: Callable[[], float], deployment: str = "") -> None:
        self._token = token
        key = _bytes(token or secrets.token_hex())
        self._sessions = _SessionSigner(key, f"{SESSION_SALT}/{deployment}", clock)
        self._csrf = Signer(
            key, f"{CSRF_SALT}/{deployment}", key_derivation="hmac", digest_method=sha256
        )

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
        return self._sessions.sign(secrets.token_hex(ID_BYTES)).decode("ascii")

    def find_session(self, cookie: str) -> Session | None:
        """The session that a cookie's value is; None if it is none of ours, or is over by time.

        Whether it was revoked is not known here.
        """
        if self.is_free or _SESSION.fullmatch(cookie) is None:
            return None
        try:
            value, signed_at = self._sessions.unsign(
                cookie, max_age=SESSION_S, return_timestamp=True
            )
        except BadSignature:
            return None
        return Session(value.decode("ascii"), int(signed_at.timestamp()) + SESSION_S)

    def csrf_of(self, session: Session | None) -> str:
        """What a form of this session must carry; empty where there is no session."""
        return "" if session is None else self._csrf.get_signature(session.identity).decode("ascii")

    def allows_form(self, session: Session | None, csrf: str) -> bool:
        """Tell whether a form was made by a page of this session."""
        if session is None or _CSRF.fullmatch(csrf) is None:
            return self.is_free
        return self._csrf.verify_signature(session.identity, csrf)


class _SessionSigner(TimestampSigner):
    """Signs a value with the time of the clock it was given."""

    def __init__(self, key: bytes, salt: str, clock: Callable[[], float]) -> None:
        super().__init__(key, salt, key_derivation="hmac", digest_method=sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())


def session_of(scope: Scope) -> Session | None:
    """The session that let a request in; None if the token did, or nothing had to."""
    session: Session | None = scope.get(SESSION)
    return session


def is_bearer(authorization: str) -> bool:
    """Tell whether an ``Authorization`` header carries a token, be it right or wrong."""
    return authorization.partition(" ")[0].lower() == "bearer"


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(_bytes(one), _bytes(other))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
