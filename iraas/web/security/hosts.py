"""Validation of the ``Host`` header: its syntax, and the names of this server."""

import ipaddress
import re
from contextlib import suppress
from http import HTTPStatus

from iraas.web.problems import Problem

_HOST = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def check_host(host: str, names: frozenset[str]) -> None:
    """Reject a request with an invalid ``Host`` header or one for another host.

    Against DNS rebinding: a page of another site whose name is made to resolve to this server sends
    that name.

    Args:
        host: The header; empty if absent, as in HTTP/1.0.
        names: The accepted names; empty for any.

    Raises:
        Problem: The header is invalid (400), or names another host (421).
    """
    name = name_of(host)
    if name is None and host:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "the Host header is no host",
            code="bad-host",
            headers={"Connection": "close"},
        )
    if names and name not in names:
        raise Problem(
            HTTPStatus.MISDIRECTED_REQUEST,
            f"this server is not called {(name or '')[:80]!r}",
            code="wrong-host",
        )


def name_of(host: str) -> str | None:
    """Parse a ``Host`` header.

    Returns:
        The name without its port, in lower case; None if the header is neither ``name`` nor
        ``name:port``, with IPv6 addresses in brackets.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return None
    name = found[1].lower()
    if name.startswith("["):
        with suppress(ValueError):
            return f"[{ipaddress.IPv6Address(name[1:-1]).compressed}]"
        return None
    return name


def loopback_hosts(host: str) -> frozenset[str]:
    """Return the accepted names of a server that listens on a loopback address."""
    return frozenset({"localhost", "127.0.0.1", "[::1]", _bracketed(host)})


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host.lower()
