"""Strict request framing: the end of a body can be read in one way only.

h11 is as lenient as RFC 9112 allows a server to be: it prefers ``Transfer-Encoding`` to
``Content-Length``, reads ``5, 5`` as 5, and unfolds lines. A proxy in front may read each of these
differently, so that one of the two takes for a body what is the next request to the other (request
smuggling). Such requests are rejected (400), and the connection is closed.
"""

import re

import h11

_FRAMING = re.compile(
    rb"\n(?:(content-length|transfer-encoding)[ \t]*:[ \t]*([^\r\n]*)|[ \t])", re.IGNORECASE
)
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"[0-9]+[ \t]*")


class StrictConnection(h11.Connection):
    """The server side of an HTTP/1.1 connection; its parser never repairs a request's framing."""

    _unparsed = b""
    """Bytes since the last request. h11 provides them only as a copy that includes the body."""

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client; empty at the end of the connection."""
        if self.their_state is h11.IDLE:
            self._unparsed += data
        super().receive_data(data)

    def start_next_cycle(self) -> None:
        """Start the next request on the same connection."""
        super().start_next_cycle()
        self._unparsed, _ = self.trailing_data

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Parse the next event.

        Raises:
            h11.RemoteProtocolError: The request is invalid or ambiguous.
        """
        event = super().next_event()
        if isinstance(event, h11.Request):
            received, self._unparsed = self._unparsed, b""
            end = _BLANK_LINE.search(received)
            check_head(received[: end.end()] if end else received, event.http_version)
        return event


def check_head(head: bytes, http_version: bytes) -> None:
    """Reject a head with ambiguous framing.

    It may give the body's length once, or say once that it is chunked, or neither.

    Args:
        head: The request's first lines as they were received.
        http_version: ``1.1`` or ``1.0``, which has no chunks.

    Raises:
        h11.RemoteProtocolError: The framing is ambiguous.
    """
    found = _FRAMING.findall(head)
    if not found:
        return
    (name, value), *others = found
    is_length = name.lower() == b"content-length" and _LENGTH.fullmatch(value)
    is_chunked = name.lower() == b"transfer-encoding" and http_version != b"1.0"
    if others or not (is_length or is_chunked):
        raise h11.RemoteProtocolError("the end of the request's body is ambiguous")
