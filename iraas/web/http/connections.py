"""The connections of clients: who sends no head, takes no answer or has too many is hung up on."""

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


def bounded_protocol(limits: WebConfig, *, behind_proxy: bool) -> type[asyncio.Protocol]:
    """The protocol within these bounds.

    Args:
        limits: The bounds.
        behind_proxy: Whether connections from this machine are those of a proxy, which has the
            clients of all of them.
    """
    bounds = {
        "limits": limits,
        "behind_proxy": behind_proxy,
        "connections_of_clients": ClientQuota(limits.max_connections, limits.client_share),
    }
    return type("BoundedProtocol", (BoundedProtocol,), bounds)


class BoundedProtocol(H11Protocol):
    """Uvicorn's HTTP protocol, within bounds; the server makes one for each connection.

    Always the one with h11, whatever else is installed: the reading of requests is a boundary, and
    this one is held by tests.
    """

    limits: WebConfig
    behind_proxy: bool
    connections_of_clients: ClientQuota

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = StrictConnection(h11.SERVER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a client in, or send it away."""
        transport = cast("asyncio.Transport", transport)
        gathering = GatheringTransport(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", gathering))
        self._patience: asyncio.TimerHandle | None = None
        self._taking = _Taking(transport, self.loop, self.limits)
        self._owner = _owner_of(transport, behind_proxy=self.behind_proxy)
        self._is_counted = self.connections_of_clients.take(self._owner)
        if not self._is_counted:
            gathering.write(_refusal())
            gathering.close()
        self._lose_patience_if_waiting()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._lose_patience_if_waiting()

    def pause_writing(self) -> None:
        """Send no more until the client has taken what there is."""
        super().pause_writing()
        self._taking.begin()

    def resume_writing(self) -> None:
        """Send more."""
        super().resume_writing()
        self._taking.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let a client go."""
        if self._is_counted:
            self.connections_of_clients.give(self._owner)
        self._taking.end()
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _lose_patience_if_waiting(self) -> None:
        """From the first byte of a head, or the connection's begin, until the head is there."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        is_waiting = cycle is None or cycle.response_complete
        if is_waiting and self._patience is None:
            self._patience = self.loop.call_later(self.limits.head_s, self.transport.close)
        elif not is_waiting and self._patience is not None:
            self._patience.cancel()
            self._patience = None


class _Taking:
    """Watches over a client that is to take more of an answer than its connection holds."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limits: WebConfig
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._limits = limits
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._left = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._limits.send_s, self._look)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        taken = self._left - self._transport.get_write_buffer_size()
        if taken < self._limits.send_s * self._limits.min_bytes_per_s:
            self._transport.abort()
        else:
            self.begin()


def _owner_of(transport: asyncio.Transport, *, behind_proxy: bool) -> str:
    peer = transport.get_extra_info("peername")
    address: str = peer[0] if peer else ""
    if behind_proxy and is_loopback(address):
        return f"a client of the proxy: {id(transport)}"
    return network_of(address) or address


def _refusal() -> bytes:
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
