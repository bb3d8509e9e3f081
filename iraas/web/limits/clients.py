"""Identification of clients by address, for limits and rates."""

import ipaddress
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.types import Scope

CLIENT = "iraas.client"
"""Key of a request's scope for its client."""
NETWORK_BITS = 64
THIS_MACHINE = "127.0.0.1"
"""Stands for every loopback address: programs on this machine can use all of them."""


def find_client(scope: Scope, *, behind_proxy: bool) -> str:
    """Identify a request's client: the address at the other end of its connection.

    A proxy on this machine appends its client's address to the addresses that the client itself
    sent in ``X-Forwarded-For``, so that only the last one is trusted.

    Args:
        scope: The request's scope.
        behind_proxy: Whether loopback connections come from such a proxy.
    """
    peer: str = scope["client"][0] if scope.get("client") else ""
    if behind_proxy and is_loopback(peer):
        forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
        forwarded_client = network_of(forwarded.rpartition(",")[2].strip())
        if forwarded_client:
            return forwarded_client
    return network_of(peer) or peer


def client_of(scope: Scope) -> str:
    """Return the client that the security middleware identified."""
    client: str = scope.get(CLIENT, "")
    return client


def network_of(address: str) -> str:
    """Normalize an address.

    Returns:
        An IPv4 address; the /64 network of an IPv6 address, because one subscriber has all
        addresses of it; `THIS_MACHINE` for loopback addresses; empty if the text is not an address.
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
    """Return whether a host is a loopback address, so that a server bound to it serves this machine
    alone.
    """
    if host == "localhost":
        return True
    found = _address(host)
    return found is not None and found.is_loopback


@lru_cache(maxsize=1024)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an address; IPv4-mapped IPv6 addresses become IPv4."""
    try:
        found = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
