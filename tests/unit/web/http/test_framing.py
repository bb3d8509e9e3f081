"""Later requests on a connection are parsed as strictly as the first."""

import h11
import pytest

from iraas.web.http.framing import StrictConnection

GOOD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
AMBIGUOUS = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"


def answer(connection: StrictConnection) -> bytes:
    """Read a request to its end and answer it; return its body."""
    body = b""
    while type(event := connection.next_event()) is not h11.EndOfMessage:
        if isinstance(event, h11.Data):
            body += event.data
    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.start_next_cycle()
    return body


def test_requests_that_come_at_once_are_each_checked() -> None:
    connection = StrictConnection(h11.SERVER)
    connection.receive_data(GOOD + GOOD + AMBIGUOUS)
    assert [answer(connection), answer(connection)] == [b"hello", b"hello"]
    with pytest.raises(h11.RemoteProtocolError, match="ambiguous"):
        connection.next_event()


def test_a_head_that_comes_in_pieces_after_another_request_is_checked() -> None:
    connection = StrictConnection(h11.SERVER)
    connection.receive_data(GOOD + AMBIGUOUS[:20])
    assert answer(connection) == b"hello"
    for at in range(20, len(AMBIGUOUS) - len("hello") - 1):
        assert connection.next_event() is h11.NEED_DATA
        connection.receive_data(AMBIGUOUS[at : at + 1])
    connection.receive_data(AMBIGUOUS[-6:])
    with pytest.raises(h11.RemoteProtocolError, match="ambiguous"):
        connection.next_event()


def test_bytes_after_a_body_do_not_hide_the_next_head() -> None:
    connection = StrictConnection(h11.SERVER)
    connection.receive_data(GOOD[:-5])
    assert isinstance(connection.next_event(), h11.Request)
    connection.receive_data(b"hello" + AMBIGUOUS)
    assert answer(connection) == b"hello"
    with pytest.raises(h11.RemoteProtocolError, match="ambiguous"):
        connection.next_event()
