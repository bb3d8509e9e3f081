"""Authentication: a token for programs, a session for browsers.

Sessions are signed by itsdangerous under a key derived from the token, with a salt for each purpose
and deployment, so that nothing signed for one purpose is valid for another. A session is a random
number and the time of its signing: it is valid in every process of the deployment, outlives a
restart, and ends after twelve hours, with the token, or when it is revoked
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
"""Key of a request's scope for the session that authorized it."""
SESSION_S = 12 * 3600
ID_BYTES = 16
CSRF_SALT = "iraas.web.csrf"
SESSION_SALT = "iraas.web.session"
_SESSION = re.compile(rf"[0-9a-f]{{{2 * ID_BYTES}}}\.[A-Za-z0-9_-]{{4,11}}\.[A-Za-z0-9_-]{{43}}")
_CSRF = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """A verified session of a browser.

    Attributes:
        identity: Its random number, in hexadecimal. Not a secret without its signature.
        ends_at: Its end, in seconds since the epoch.
    """

    identity: str
    ends_at: int


class Authenticator:
    """Checks tokens, sessions and CSRF tokens, all in constant time. Thread-safe.

    Args:
        token: The deployment's token; None for open access.
        clock: Returns seconds since the epoch.
        deployment: The deployment's name: sessions of other deployments are invalid.
    """

    def __init__(self, token: str | None, clock: Callable[[], float], deployment: str = "") -> None:
        self._token = token
        key = _bytes(token or secrets.token_hex())
        self._sessions = _SessionSigner(key, f"{SESSION_SALT}/{deployment}", clock)
        self._csrf = Signer(
            key, f"{CSRF_SALT}/{deployment}", key_derivation="hmac", digest_method=sha256
        )

    @property
    def is_open(self) -> bool:
        """True if no token is required."""
        return self._token is None

    def accepts(self, token: str) -> bool:
        """Return whether a token is valid."""
        return self._token is not None and _equal(token, self._token)

    def accepts_bearer(self, authorization: str) -> bool:
        """Return whether an ``Authorization`` header carries a valid token."""
        credentials = authorization.partition(" ")[2].strip()
        # Servers read headers as Latin-1, clients write tokens in UTF-8.
        read_again = credentials.encode("latin-1", "replace").decode("utf-8", "replace")
        known = self.accepts(credentials) | self.accepts(read_again)
        return is_bearer(authorization) and known

    def new_session(self) -> str:
        """Start a session; return the value of its cookie."""
        return self._sessions.sign(secrets.token_hex(ID_BYTES)).decode("ascii")

    def find_session(self, cookie: str) -> Session | None:
        """Verify a session cookie.

        Args:
            cookie: The cookie's value.

        Returns:
            The session; None if the signature is invalid or it has expired. Revocation is not
            checked.
        """
        if self.is_open or _SESSION.fullmatch(cookie) is None:
            return None
        try:
            value, signed_at = self._sessions.unsign(
                cookie, max_age=SESSION_S, return_timestamp=True
            )
        except BadSignature:
            return None
        return Session(value.decode("ascii"), int(signed_at.timestamp()) + SESSION_S)

    def csrf_of(self, session: Session | None) -> str:
        """Return the CSRF token for a session's forms; empty without a session."""
        return "" if session is None else self._csrf.get_signature(session.identity).decode("ascii")

    def allows_form(self, session: Session | None, csrf: str) -> bool:
        """Return whether a form carries the CSRF token of its session; with open access, always."""
        if session is None or _CSRF.fullmatch(csrf) is None:
            return self.is_open
        return self._csrf.verify_signature(session.identity, csrf)


class _SessionSigner(TimestampSigner):
    """Timestamp signer with an injected clock."""

    def __init__(self, key: bytes, salt: str, clock: Callable[[], float]) -> None:
        super().__init__(key, salt, key_derivation="hmac", digest_method=sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())


def session_of(scope: Scope) -> Session | None:
    """Return the session that authorized a request; None if a token did, or with open access."""
    session: Session | None = scope.get(SESSION)
    return session


def is_bearer(authorization: str) -> bool:
    """Return whether an ``Authorization`` header carries a token, valid or not."""
    return authorization.partition(" ")[0].lower() == "bearer"


def _equal(left: str, right: str) -> bool:
    return hmac.compare_digest(_bytes(left), _bytes(right))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
