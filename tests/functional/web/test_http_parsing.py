"""Requests that two servers could parse differently are refused, and the connection is closed."""

import contextlib
import logging
from collections.abc import Iterator

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.web.config import WebConfig
from tests.functional.web.test_bodies import connect
from tests.functional.web.test_security_middleware import TOKEN
from tests.functional.web.web_process import Serve, WebProcess, start_web

SMUGGLED = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture(scope="module")
def web(backend: MemoryBackend) -> Iterator[WebProcess]:
    """On loopback, where only the names of loopback are accepted."""
    web = start_web(backend)
    yield web
    web.stop()


@pytest.fixture(scope="module")
def public() -> Iterator[WebProcess]:
    """On every address, where any name is accepted."""
    web = start_web(MemoryBackend(), token=TOKEN, host="0.0.0.0")
    yield web
    web.stop()


def conversation(web: WebProcess, sent: bytes) -> bytes:
    """All bytes received until the server closes the connection."""
    found = b""
    with connect(web) as raw, contextlib.suppress(ConnectionError):
        raw.sendall(sent)
        while part := raw.recv(65536):
            found += part
    return found


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length: 5,5",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5\r\n , 5",
        b"Content-Length: 5\r\nX-Folded: a\r\n b",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length: 5 5",
        b"Content-Length:",
        b"content-length: 5\r\nCONTENT-LENGTH: 5",
        b"Content-Length : 5",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity",
    ],
)
@pytest.mark.parametrize("is_second", [False, True])
def test_a_request_with_ambiguous_framing_is_refused(
    web: WebProcess, backend: MemoryBackend, framing: bytes, is_second: bool
) -> None:
    head = b"POST /api/v1/classify?wait_s=0 HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n"
    before = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" if is_second else b""
    found = conversation(web, before + head + b"0\r\n\r\n" + SMUGGLED)
    statuses = [line.split()[1] for line in found.splitlines() if line.startswith(b"HTTP/1.1")]
    assert statuses == [b"200", b"400"] if is_second else [b"400"]
    assert b"connection: close" in found.lower()
    assert backend.requests.depth().total == 0


def test_http_1_0_has_no_chunks(web: WebProcess) -> None:
    head = (
        b"POST /api/v1/classify HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert conversation(web, head + b"0\r\n\r\n").startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("ending", [b"\r\n", b"\n"])
def test_a_plain_request_is_accepted_in_any_number_of_pieces(
    web: WebProcess, ending: bytes
) -> None:
    lines = [b"POST /api/v1/classify HTTP/1.1", b"Host: localhost", b"Content-Length:  7  "]
    lines += [b"X-Content-Length: 5", b"Connection: close", b"", b""]
    sent = ending.join(lines) + b"nothing"
    with connect(web) as raw:
        for start in range(len(sent)):
            raw.sendall(sent[start : start + 1])
        assert raw.recv(65536).startswith(b"HTTP/1.1 422")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:1@evil",
        "localhost:80@evil.example",
        "evil@localhost",
        "localhost:80:80",
        "localhost:",
        "localhost:port",
        "localhost:123456",
        "localhost/evil",
        "localhost?x",
        "localhost#x",
        "localhost, evil.example",
        "local host",
        "[::1",
        "::1",
        "[::1]evil",
        "[::1]]",
        "[127.0.0.1]",
        "[::1%25lo]",
        "loc\u00e4lhost",
        "<script>",
    ],
)
def test_an_invalid_host_is_refused(web: WebProcess, public: WebProcess, host: str) -> None:
    sent = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    for one in (web, public):
        assert conversation(one, sent.encode("latin-1")).split(b" ")[1] == b"400", one.url


@pytest.mark.parametrize("host", ["localhost:8000", "a_b.example", "192.0.2.1", "[2001:db8::1]:1"])
def test_any_valid_host_is_served_where_all_names_are_allowed(
    public: WebProcess, host: str
) -> None:
    sent = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert conversation(public, sent.encode()).split(b" ")[1] == b"200"


def test_repeated_garbage_does_not_fill_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    web = serve(WebConfig(request_burst=10_000))
    kind = {"content-type": "multipart/form-data; boundary=x"}
    with caplog.at_level(logging.DEBUG):
        for number in range(30):
            body = b"garbage %d" % number
            assert web.client.post("/api/v1/jobs", content=body, headers=kind).status_code == 400
            assert conversation(web, body + b"\r\n\r\n").startswith(b"HTTP/1.1 400")
            upgrade = {"connection": "upgrade", "upgrade": f"websocket{number}"}
            assert web.client.get("/healthz", headers=upgrade).status_code == 200
    logged = [one for one in caplog.records if one.name.startswith(("uvicorn", "python_multipart"))]
    assert len([one for one in logged if one.levelno >= logging.WARNING]) <= 4
