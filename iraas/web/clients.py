"""Who a client is, as far as bounds and rates are concerned: an address."""

import ipaddress

from starlette.datastructures import Headers
from starlette.types import Scope

CLIENT = "iraas.client"
"""Where a request's scope carries its client."""
NETWORK_BITS = 64


def find_client(scope: Scope, *, behind_proxy: bool) -> str:
    """A request's client: the address at the other end of its connection.

    A proxy on this machine adds the address at the other end of its own connections behind what a
    client may have written there, so that the last one can be believed, if there is a proxy.
    """
    peer: str = scope["client"][0] if scope.get("client") else ""
    if behind_proxy and is_loopback(peer):
        forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
        return network_of(forwarded.rpartition(",")[2].strip()) or peer
    return network_of(peer) or peer


def client_of(scope: Scope) -> str:
    """The client that the guard found for a request."""
    client: str = scope.get(CLIENT, "")
    return client


def network_of(address: str) -> str:
    """An address; of IPv6, where one subscriber has 2**64 of them, their network. Empty for what is
    no address.
    """
    try:
        found = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return ""
    if found.version == 4 or found.is_loopback:  # noqa: PLR2004 - the protocol's number
        return str(found)
    return str(ipaddress.ip_network((found, NETWORK_BITS), strict=False))


def is_loopback(host: str) -> bool:
    """Tell whether a server that binds to that host listens to this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
