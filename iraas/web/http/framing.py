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
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"[0-9]+[ \t]*")


class StrictConnection(h11.Connection):
    """A server's side of an HTTP/1.1 connection; its parser never repairs a request's framing."""

    _unparsed = b""
    """What came since the last request. h11 shows it too, by a copy with the body."""

    def receive_data(self, data: bytes) -> None:
        """Take what the client sent; empty at the end of the connection."""
        if self.their_state is h11.IDLE:
            self._unparsed += data
        super().receive_data(data)

    def start_next_cycle(self) -> None:
        """Begin the next request on the same connection."""
        super().start_next_cycle()
        self._unparsed, _ = self.trailing_data

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Parse the next event.

        Raises:
            h11.RemoteProtocolError: The client's request is none, or can be read in two ways.
        """
        event = super().next_event()
        if isinstance(event, h11.Request):
            received, self._unparsed = self._unparsed, b""
            end = _BLANK_LINE.search(received)
            check_head(received[: end.end()] if end else received, event.http_version)
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
