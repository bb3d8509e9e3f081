"""Client connections, with timeouts for slow clients and a limit for each client."""

import asyncio
import json
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from iraas.web.config import WebConfig
from iraas.web.http.framing import StrictConnection
from iraas.web.http.gathering_transport import GatheringTransport
from iraas.web.limits.client_quota import ClientQuota
from iraas.web.limits.clients import is_loopback, network_of
from iraas.web.problems import MEDIA_TYPE, busy

RETRY_S = 5.0


def bounded_protocol(limits: WebConfig, *, behind_proxy: bool) -> type["BoundedProtocol"]:
    """Create a protocol class with these limits, for one server.

    Args:
        limits: The configured limits.
        behind_proxy: Whether loopback connections come from a reverse proxy. They are not limited
            per client then: the proxy forwards the requests of all clients.
    """
    bounds = {
        "limits": limits,
        "behind_proxy": behind_proxy,
        "connection_quota": ClientQuota(limits.max_connections, limits.client_share),
    }
    return type("BoundedProtocol", (BoundedProtocol,), bounds)


class BoundedProtocol(H11Protocol):
    """Uvicorn's HTTP protocol with limits; the server creates one for each connection.

    Based on h11 even where httptools is installed: request parsing is a security boundary, and
    tests cover this parser.
    """

    limits: WebConfig
    behind_proxy: bool
    connection_quota: ClientQuota
    is_closing: bool = False
    """Set on the class once its server shuts down: what was still being accepted is closed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = StrictConnection(h11.SERVER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a connection, or refuse it with a 429 if its client has too many."""
        transport = cast("asyncio.Transport", transport)
        gathering = GatheringTransport(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", gathering))
        self._head_timer: asyncio.TimerHandle | None = None
        self._monitor = _ReadSpeedMonitor(transport, self.loop, self.limits)
        self._client = _client_of(transport, behind_proxy=self.behind_proxy)
        self._is_counted = self.connection_quota.reserve(self._client)
        if not self._is_counted:
            gathering.write(_refused_response())
            gathering.close()
        self._update_head_timer()
        if self.is_closing:
            gathering.close()

    def data_received(self, data: bytes) -> None:
        """Handle a part of a request."""
        super().data_received(data)
        self._update_head_timer()

    def pause_writing(self) -> None:
        """Pause the response until the client has read what was written, and watch its speed."""
        super().pause_writing()
        self._monitor.start()

    def resume_writing(self) -> None:
        """Resume the response."""
        super().resume_writing()
        self._monitor.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        if self._is_counted:
            self.connection_quota.release(self._client)
        self._monitor.stop()
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def _update_head_timer(self) -> None:
        """Run the timeout from the connection's start, or the first byte of a head, until the head
        is there.
        """
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        is_waiting = cycle is None or cycle.response_complete
        if is_waiting and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.head_s, self.transport.close)
        elif not is_waiting and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _ReadSpeedMonitor:
    """Closes the connection of a client that reads its response too slowly."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limits: WebConfig
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._limits = limits
        self._buffered_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._buffered_bytes = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._limits.send_s, self._check)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        read_bytes = self._buffered_bytes - self._transport.get_write_buffer_size()
        if read_bytes < self._limits.send_s * self._limits.min_bytes_per_s:
            self._transport.abort()
        else:
            self.start()


def _client_of(transport: asyncio.Transport, *, behind_proxy: bool) -> str:
    peer = transport.get_extra_info("peername")
    address: str = peer[0] if peer else ""
    if behind_proxy and is_loopback(address):
        return f"a client of the proxy: {id(transport)}"
    return network_of(address) or address


def _refused_response() -> bytes:
    problem = busy("too many connections of one client are open", RETRY_S, "too-many-connections")
    body = json.dumps(problem.to_json()).encode()
    lines = (
        "HTTP/1.1 429 Too Many Requests",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in problem.headers.items()),
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(lines).encode() + body
