"""The ``Host`` header: what it may look like, and the names a server is called by."""

import ipaddress
import re
from contextlib import suppress
from http import HTTPStatus

from iraas.web.problems import Problem

_HOST = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def check_host(host: str, names: frozenset[str]) -> None:
    """Refuse a request that calls the server by another name, or by what is no name.

    Args:
        host: The header; HTTP/1.0 has none.
        names: The names it may be called by; empty for any. A page of another site whose name is
            made to point here calls it by that name, and is sent away.

    Raises:
        Problem: It does.
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
    """A ``Host`` header without its port, in lower case; None if it is not ``name`` or
    ``name:port``, where an IPv6 address stands in brackets.
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
    """The names by which a server that listens on a loopback address may be called."""
    return frozenset({"localhost", "127.0.0.1", "[::1]", _bracketed(host)})


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host.lower()
