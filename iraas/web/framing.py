"""Where a request's body ends, read in one way only.

h11 is as forgiving as RFC 9112 allows a server to be: of ``Content-Length`` beside
``Transfer-Encoding`` the latter counts, ``5, 5`` is 5, and lines may be folded. A proxy in front
may read each of these differently, and what one of the two takes for a body is the next request to
the other. Such requests are refused (400), and the connection ends.
"""

import re

import h11

_FRAMING = re.compile(
    rb"\n(?:(content-length|transfer-encoding)[ \t]*:[ \t]*([^\r\n]*)|[ \t])", re.IGNORECASE
)
_LENGTH = re.compile(rb"[0-9]+[ \t]*")


class StrictConnection(h11.Connection):
    """A server's side of an HTTP/1.1 connection; its parser never repairs a request's framing."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Parse the next event.

        Raises:
            h11.RemoteProtocolError: The client's request is none, or can be read in two ways.
        """
        if self.their_state is not h11.IDLE:
            return super().next_event()
        received, _ = self.trailing_data
        event = super().next_event()
        if isinstance(event, h11.Request):
            left, _ = self.trailing_data
            check_head(received[: len(received) - len(left)], event.http_version)
        return event


def check_head(head: bytes, http_version: bytes) -> None:
    """Refuse a head whose framing is not plain: it names the body's length once, or says once that
    it is chunked, or neither.

    Args:
        head: The request's first lines as they were received.
        http_version: ``1.1`` or ``1.0``, which has no chunks.

    Raises:
        h11.RemoteProtocolError: It is not.
    """
    found = _FRAMING.findall(head)
    if not found:
        return
    (name, value), *others = found
    is_length = name.lower() == b"content-length" and _LENGTH.fullmatch(value)
    is_chunked = name.lower() == b"transfer-encoding" and http_version != b"1.0"
    if others or not (is_length or is_chunked):
        raise h11.RemoteProtocolError("the end of the request's body is ambiguous")
