"""The web server: its socket, signals, and graceful shutdown."""

import asyncio
import logging
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast
from urllib.parse import urlsplit

import uvicorn

from iraas.core.ports import Backend
from iraas.errors import ConfigurationError
from iraas.web.app import create_app
from iraas.web.config import WebConfig
from iraas.web.http.connections import BoundedProtocol, bounded_protocol
from iraas.web.limits.clients import is_loopback
from iraas.web.limits.log_limits import limit_warnings
from iraas.web.security.hosts import loopback_hosts
from iraas.web.state import AppState

log = logging.getLogger(__name__)
BACKLOG = 2048
KEEP_ALIVE_S = 75
EXTRA_FILES = 200
MIN_TOKEN_CHARACTERS = 16


def serve(
    backend: Backend,
    *,
    deployment: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: WebConfig | None = None,
    public_url: str = "",
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT. Call it from the main thread; see `WebServer` for the
    arguments.

    Raises:
        ConfigurationError: The address is not available, or not safe without a token.
    """
    server = WebServer(
        backend,
        deployment=deployment,
        host=host,
        port=port,
        token=token,
        limits=limits,
        public_url=public_url,
    )
    server.run(ready)


class WebServer:
    """One web process. `run` blocks; `stop` is safe in any thread or signal handler.

    On SIGTERM or SIGINT (if run in the main thread), or on `stop`, it accepts no more connections,
    ends event streams, and gives requests in progress `WebConfig.shutdown_timeout_s` seconds;
    single images without an outcome are answered with a ticket before that. A second SIGINT ends it
    at once.

    Args:
        backend: The deployment, open.
        deployment: The deployment's name.
        host: The address to listen on.
        port: The port; 0 for any free one.
        token: The token that clients must send; required beyond loopback.
        limits: The configured limits.
        public_url: The address behind a reverse proxy with TLS: ``https://name``.

    Raises:
        ConfigurationError: The address is not available, or not safe without a token.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        deployment: str,
        host: str = "127.0.0.1",
        port: int = 8000,
        token: str | None = None,
        limits: WebConfig | None = None,
        public_url: str = "",
    ) -> None:
        check_safe(host, token, public_url)
        limits = limits or WebConfig()
        app = create_app(
            backend,
            deployment=deployment,
            token=token,
            limits=limits,
            hosts=_names(host, public_url),
            public_url=public_url,
        )
        self._socket = _bind(host, port)
        self.url = _url(host, self._socket)
        self.public_url = public_url or self.url
        protocol = bounded_protocol(limits, behind_proxy=bool(public_url))
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=round(limits.shutdown_timeout_s) or 1,
            limit_concurrency=limits.max_connections,
        )
        self._server = _Server(config, app.state.app_state, protocol)
        limit_warnings()
        _raise_file_limit(limits.max_connections + EXTRA_FILES)

    def run(self, on_ready: Callable[[str], None] = lambda _: None) -> None:
        """Serve until `stop` or a signal.

        Args:
            on_ready: Called with the server's address for people once it accepts requests.
        """
        self._server.ready = lambda: on_ready(self.public_url)
        with self._socket:
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Make `run` return."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """Uvicorn's server; ends event streams before it waits for connections, and closes them all."""

    def __init__(
        self, config: uvicorn.Config, state: AppState, protocol: type[BoundedProtocol]
    ) -> None:
        super().__init__(config)
        self._protocol = protocol
        self.ready: Callable[[], None] = lambda: None
        self._state = state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._protocol.is_closing = True
        self._state.close_streams()
        await super().shutdown(sockets)
        # Uvicorn leaves open what was being accepted, and what outlasted the shutdown timeout.
        for connection in list(self.server_state.connections):
            cast("BoundedProtocol", connection).transport.abort()
        await asyncio.sleep(0)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while running.

        Unlike uvicorn, do not raise them again at the end: the command decides its exit code.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGTERM, signal.SIGINT)
        old = [signal.signal(number, self.handle_exit) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, old, strict=True):
                signal.signal(number, handler)


def check_safe(host: str, token: str | None, public_url: str = "") -> None:
    """Refuse to serve beyond this machine without a token that cannot be guessed.

    Args:
        host: The address to listen on.
        token: The token; None for open access.
        public_url: The address behind a reverse proxy; empty without one.

    Raises:
        ConfigurationError: The token is missing, empty or too short.
    """
    if token is not None and not token.strip():
        raise ConfigurationError("the token is empty", remedy="Give a --token, or IRAAS_TOKEN.")
    if is_loopback(host) and not public_url:
        return
    where = f"a public address ({public_url})" if public_url else f"listening on {host}"
    if token is None:
        raise ConfigurationError(
            f"{where} requires a token",
            remedy="Give a --token (or IRAAS_TOKEN), or listen on 127.0.0.1.",
        )
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise ConfigurationError(
            f"{where} needs a token of at least {MIN_TOKEN_CHARACTERS} characters",
            remedy="Make one with: openssl rand -hex 16",
        )


def _names(host: str, public_url: str) -> frozenset[str]:
    """Return the accepted host names; empty for any."""
    if not is_loopback(host):
        return frozenset()
    name = (urlsplit(public_url).hostname or "").lower()
    public = {f"[{name}]" if ":" in name else name} if name else set()
    return loopback_hosts(host) | public


def _bind(host: str, port: int) -> socket.socket:
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((bare, port))
        listening.set_inheritable(False)
    except (OSError, OverflowError) as exc:
        listening.close()
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {exc}",
            remedy="Choose another --port, or stop the program that uses it.",
        ) from exc
    return listening


def _url(host: str, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    bare = host.strip("[]")
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"


def _raise_file_limit(wanted: int) -> None:
    """Raise the limit on open files as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
