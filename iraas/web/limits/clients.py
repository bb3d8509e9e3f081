"""Who a client is, as far as bounds and rates are concerned: an address."""

import ipaddress
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.types import Scope

CLIENT = "iraas.client"
"""Where a request's scope carries its client."""
NETWORK_BITS = 64
THIS_MACHINE = "127.0.0.1"
"""Every loopback address: whoever is on this machine can send from all of them."""


def find_client(scope: Scope, *, behind_proxy: bool) -> str:
    """A request's client: the address at the other end of its connection.

    A proxy on this machine adds the address at the other end of its own connections behind what a
    client may have written there, so that the last one can be believed, if there is a proxy.
    """
    peer: str = scope["client"][0] if scope.get("client") else ""
    if behind_proxy and is_loopback(peer):
        forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
        told = network_of(forwarded.rpartition(",")[2].strip())
        if told:
            return told
    return network_of(peer) or peer


def client_of(scope: Scope) -> str:
    """The client that the guard found for a request."""
    client: str = scope.get(CLIENT, "")
    return client


def network_of(address: str) -> str:
    """An address; of IPv6, where one subscriber has 2**64 of them, their network; one for all of
    this machine. Empty for what is no address.
    """
    found = _address(address)
    if found is None:
        return ""
    if found.is_loopback:
        return THIS_MACHINE
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(ipaddress.ip_network((found, NETWORK_BITS), strict=False))


def is_loopback(host: str) -> bool:
    """Tell whether a server that binds to that host listens to this machine alone."""
    if host == "localhost":
        return True
    found = _address(host)
    return found is not None and found.is_loopback


@lru_cache(maxsize=1024)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address; one of IPv4 that is written as one of IPv6 is the former."""
    try:
        found = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
