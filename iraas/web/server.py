"""Serving the web tier: the socket, the signals, and an end that loses nothing."""

import asyncio
import logging
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from iraas.core.ports import Backend
from iraas.errors import ConfigurationError
from iraas.web.app import create_app
from iraas.web.context import WebContext
from iraas.web.gathering_transport import GatheringTransport
from iraas.web.guard import is_loopback, loopback_hosts
from iraas.web.limits import WebLimits

log = logging.getLogger(__name__)
BACKLOG = 2048
KEEP_ALIVE_S = 75
SPARE_FILES = 200


def serve(
    backend: Backend,
    *,
    deployment: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: WebLimits | None = None,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT. See `WebServer`; call it from the main thread.

    Raises:
        ConfigurationError: The address cannot be had, or is not safe without a token.
    """
    server = WebServer(
        backend, deployment=deployment, host=host, port=port, token=token, limits=limits
    )
    server.run(ready)


class WebServer:
    """One web process. `run` blocks; `stop` may be called from any thread or signal handler.

    On SIGTERM or SIGINT, if run from the main thread, or on `stop`: accepts no more connections,
    ends event streams, and gives requests in progress `WebLimits.drain_s` seconds; single pictures
    whose outcome is not there by then are answered with a ticket. A second SIGINT ends at once.

    Args:
        backend: The deployment, open.
        deployment: Its name.
        host: The address to listen on.
        port: The port; 0 for any that is free.
        token: What clients must know; needed beyond loopback.
        limits: The bounds.

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
        limits: WebLimits | None = None,
    ) -> None:
        check_safe(host, token)
        limits = limits or WebLimits()
        hosts = loopback_hosts(host) if is_loopback(host) else frozenset[str]()
        app = create_app(backend, deployment=deployment, token=token, limits=limits, hosts=hosts)
        self._socket = _bind(host, port)
        self.url = _url(host, self._socket)
        config = uvicorn.Config(
            app,
            http=_impatient(limits),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=round(limits.drain_s) or 1,
            limit_concurrency=limits.max_connections,
        )
        self._server = _Server(config, app.state.context)
        _allow_files(limits.max_connections + SPARE_FILES)

    def run(self, ready: Callable[[str], None] = lambda _: None) -> None:
        """Serve until told to stop.

        Args:
            ready: Told the address once requests are taken.
        """
        self._server.ready = lambda: ready(self.url)
        with self._socket:
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Have `run` end."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn's server, which ends event streams before it waits for connections to end."""

    def __init__(self, config: uvicorn.Config, context: WebContext) -> None:
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


def check_safe(host: str, token: str | None) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        ConfigurationError: If that is what is asked for.
    """
    if token is not None and not token.strip():
        raise ConfigurationError("the token is empty", remedy="Give a --token, or IRAAS_TOKEN.")
    if token is None and not is_loopback(host):
        raise ConfigurationError(
            f"listening on {host} lets everybody on the network in",
            remedy="Give a --token (or IRAAS_TOKEN), or listen on 127.0.0.1.",
        )


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


def _impatient(limits: WebLimits) -> type[asyncio.Protocol]:
    """Uvicorn's HTTP protocol, which hangs up on a client that sends no request's head in time."""

    class ImpatientProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(GatheringTransport(transport, self.loop))
            self._patience: asyncio.TimerHandle | None = None
            self._lose_patience_if_waiting()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._lose_patience_if_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._patience is not None:
                self._patience.cancel()
            super().connection_lost(exc)

        def _lose_patience_if_waiting(self) -> None:
            """From the first byte of a head, or the connection's begin, until the head is there."""
            is_waiting = self.cycle is None or self.cycle.response_complete
            if is_waiting and self._patience is None:
                self._patience = self.loop.call_later(limits.head_s, self.transport.close)
            elif not is_waiting and self._patience is not None:
                self._patience.cancel()
                self._patience = None

    return ImpatientProtocol
