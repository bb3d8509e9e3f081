"""Serving the web tier: the socket, the signals, and an end that loses nothing."""

import logging
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import uvicorn

from iraas.core.ports import Backend
from iraas.errors import ConfigurationError
from iraas.web.app import create_app
from iraas.web.config import WebConfig
from iraas.web.http.connections import bounded_protocol
from iraas.web.limits.clients import is_loopback
from iraas.web.limits.log_limits import limit_warnings
from iraas.web.security.hosts import loopback_hosts
from iraas.web.state import AppState

log = logging.getLogger(__name__)
BACKLOG = 2048
KEEP_ALIVE_S = 75
SPARE_FILES = 200
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
    """Serve until SIGTERM or SIGINT. See `WebServer`; call it from the main thread.

    Raises:
        ConfigurationError: The address cannot be had, or is not safe without a token.
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
    """One web process. `run` blocks; `stop` may be called from any thread or signal handler.

    On SIGTERM or SIGINT, if run from the main thread, or on `stop`: accepts no more connections,
    ends event streams, and gives requests in progress `WebConfig.shutdown_timeout_s` seconds;
    single images whose outcome is not there by then are answered with a ticket. A second SIGINT
    ends at once.

    Args:
        backend: The deployment, open.
        deployment: Its name.
        host: The address to listen on.
        port: The port; 0 for any that is free.
        token: What clients must know; needed beyond loopback.
        limits: The bounds.
        public_url: Where people reach it, through a proxy that speaks TLS: ``https://name``.

    Raises:
        ConfigurationError: The address cannot be had, or is not safe without a token.
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
        config = uvicorn.Config(
            app,
            http=bounded_protocol(limits, behind_proxy=bool(public_url)),
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
        self._server = _Server(config, app.state.context)
        limit_warnings()
        _allow_files(limits.max_connections + SPARE_FILES)

    def run(self, ready: Callable[[str], None] = lambda _: None) -> None:
        """Serve until told to stop.

        Args:
            ready: Told the address for people once requests are taken.
        """
        self._server.ready = lambda: ready(self.public_url)
        with self._socket:
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Have `run` end."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn's server, which ends event streams before it waits for connections to end."""

    def __init__(self, config: uvicorn.Config, context: AppState) -> None:
        super().__init__(config)
        self.ready: Callable[[], None] = lambda: None
        self._context = context

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._context.close_streams()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while running; unlike uvicorn, do not raise them again at the end: the
        command that serves says how it ends.
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
    """Refuse to be reached from beyond this machine without a token that cannot be guessed.

    Raises:
        ConfigurationError: If that is what is asked for.
    """
    if token is not None and not token.strip():
        raise ConfigurationError("the token is empty", remedy="Give a --token, or IRAAS_TOKEN.")
    if is_loopback(host) and not public_url:
        return
    where = f"a public address ({public_url})" if public_url else f"listening on {host}"
    if token is None:
        raise ConfigurationError(
            f"{where} lets everybody on the network in",
            remedy="Give a --token (or IRAAS_TOKEN), or listen on 127.0.0.1.",
        )
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise ConfigurationError(
            f"{where} needs a token of at least {MIN_TOKEN_CHARACTERS} characters",
            remedy="Make one with: openssl rand -hex 16",
        )


def _names(host: str, public_url: str) -> frozenset[str]:
    """The names that it may be called by; empty for any."""
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
            remedy="Choose another --port, or stop what listens there.",
        ) from exc
    return listening


def _url(host: str, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    bare = host.strip("[]")
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"


def _allow_files(wanted: int) -> None:
    """Let the process have as many files open as it takes connections, if the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
