"""Security checks on every request (host, rate, authentication, origin), and response headers.

Plain ASGI and the outermost middleware: unauthorized requests reach nothing behind it, and every
error behind it becomes a response here.
"""

import asyncio
import time
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iraas.web.errors import error_response
from iraas.web.http.open_bodies import stopping
from iraas.web.limits.clients import CLIENT, find_client
from iraas.web.metrics import REFUSED, RouteLabels, method_label
from iraas.web.problems import Problem, busy
from iraas.web.security.authenticator import COOKIE, SESSION, is_bearer
from iraas.web.security.hosts import check_host
from iraas.web.state import AppState
from iraas.web.streaming.responses import SlowClientError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PROBES = frozenset({"/healthz", "/readyz"})
FREE_PATHS = frozenset({"/login", "/favicon.ico"})
FREE_PREFIX = "/static/"
FORM_PATHS = ("/upload", "/examples", "/logout", "/jobs/")
"""Targets of plain forms, which carry the CSRF token as a field; the routes check it."""

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer, forms would carry no origin
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
DEFAULTS = (
    (b"content-security-policy", CSP.encode()),
    (b"cache-control", b"no-store"),
)


class SecurityMiddleware:
    """ASGI middleware.

    Args:
        app: The application to protect.
        state: The services.
        hosts: Accepted host names of this server; empty for any.
    """

    def __init__(self, app: ASGIApp, state: AppState, hosts: frozenset[str]) -> None:
        self._app = app
        self._state = state
        self._hosts = hosts
        self._routes = RouteLabels()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.monotonic()
        method = method_label(scope)
        is_head = scope["method"] == "HEAD"
        if is_head:  # every GET route answers HEAD too, with the same headers
            scope = {**scope, "method": "GET"}
        scope[CLIENT] = find_client(scope, behind_proxy=bool(self._state.public_url))
        response = _Response(send, is_head=is_head)
        is_refused = True
        try:
            await self._check(scope)
            is_refused = False
            await self._app(scope, receive, response)
        except SlowClientError:
            return
        except Exception as exc:
            if response.has_started:
                # The failure was answered already, or interrupted a response: only closing the
                # connection tells the client so.
                if not response.is_complete:
                    raise
            else:
                await error_response(exc, scope)(scope, receive, response)
        except asyncio.CancelledError:
            if response.has_started or not self._state.closing:
                raise
            await error_response(stopping(), scope)(scope, receive, response)
        finally:
            route = REFUSED if is_refused else self._routes.label(scope)
            seconds = time.monotonic() - started_at
            self._state.metrics.record_response(route, method, response.status, seconds)

    async def _check(self, scope: Scope) -> None:
        request = Request(scope)
        host = request.headers.get("host", "")
        check_host(host, self._hosts)
        path: str = scope["path"]
        if path.startswith(FREE_PREFIX) or path in PROBES:
            return
        retry_s = self._state.rate_limiter.acquire(scope[CLIENT])
        if retry_s:
            raise busy("too many requests from one client", retry_s, "too-many-requests")
        if scope["method"] not in SAFE_METHODS:
            _check_origin(request, host, self._state.public_url)
        if not self._state.authenticator.is_open and path not in FREE_PATHS:
            await self._check_client(request, path)

    async def _check_client(self, request: Request, path: str) -> None:
        authenticator, limiter = self._state.authenticator, self._state.failed_logins
        authorization = request.headers.get("authorization", "")
        if is_bearer(authorization):
            client = request.scope[CLIENT]
            if limiter.check(client, lambda: authenticator.accepts_bearer(authorization)):
                return
        session = authenticator.find_session(request.cookies.get(COOKIE, ""))
        if session is None or await self._state.revocations.has(session):
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "a token is required",
                code="no-token",
                remedy="Send it as 'Authorization: Bearer …', or log in with a browser.",
                headers={"WWW-Authenticate": 'Bearer realm="iraas"'},
            )
        request.scope[SESSION] = session
        if request.method in SAFE_METHODS or path.startswith(FORM_PATHS):
            return
        if not authenticator.allows_form(session, request.headers.get("x-csrf-token", "")):
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "the request was not made by a page of this session",
                code="bad-csrf-token",
                remedy="Load the page again.",
            )


class _Response:
    """Sends a response with the security headers, and records how the request was answered."""

    def __init__(self, send: Send, *, is_head: bool) -> None:
        self._send = send
        self._is_head = is_head
        self.status = 0
        self.is_complete = False

    @property
    def has_started(self) -> bool:
        """True once the status is being sent."""
        return self.status > 0

    async def __call__(self, message: Message) -> None:
        if self.is_complete:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
            names = {name for name, _ in headers}
            headers += HEADERS
            headers += [header for header in DEFAULTS if header[0] not in names]
            message["headers"] = headers
            if self._is_head:  # complete at once, so that an event stream ends with its head
                await self._send(message)
                message = {"type": "http.response.body", "body": b""}
                self.is_complete = True
        elif message["type"] == "http.response.body":
            self.is_complete = not message.get("more_body", False)
        await self._send(message)


def _check_origin(request: Request, host: str, public_url: str) -> None:
    """Reject requests that a page of another site makes a browser send."""
    origin = request.headers.get("origin", public_url or f"http://{host}").lower()
    foreign = origin != public_url and _site_of(origin) != host.lower()
    if foreign or request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise Problem(
            HTTPStatus.FORBIDDEN, "the request comes from another site", code="foreign-origin"
        )


def _site_of(origin: str) -> str:
    """Return the host and port of an origin; empty if it is invalid."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
