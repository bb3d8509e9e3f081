"""Request bodies that differ from their headers, and slow clients."""

import contextlib
import resource
import socket
from collections.abc import Iterator

import httpx2
import pytest

from iraas.backends.memory import MemoryBackend
from iraas.web.config import WebConfig
from tests.fakes.scripted_classifier import image_bytes
from tests.functional.web.test_lockout_and_proxies import PUBLIC_URL
from tests.functional.web.test_security_middleware import TOKEN
from tests.functional.web.web_process import Serve, WebProcess, Worker
from tests.waiting import PATIENCE_S, wait_until

SLOW_CLIENTS = 2000
HELD = bytes(128_000)
BOUNDARY = b"--x\r\n"
PART = b'Content-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n'


def connect(web: WebProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", web.port), PATIENCE_S)


def head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode()


def answer(raw: socket.socket) -> bytes:
    """The bytes received until the server closes or falls silent."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := raw.recv(65536):
            found += part
            if found.endswith(b"}"):
                break
    return found


def drip(raw: socket.socket) -> bytes:
    """The answer that arrives while a body is sent byte by byte."""
    raw.settimeout(0.05)
    found: list[bytes] = []

    def is_answered() -> bool:
        raw.sendall(b"x")
        with contextlib.suppress(TimeoutError):
            found.append(raw.recv(1000))
        return bool(found)

    wait_until(is_answered, "an answer")
    return found[0]


def test_a_body_over_the_limit_is_cut_off_whatever_its_head_claims(
    serve: Serve,
) -> None:
    web = serve(WebConfig(max_body_bytes=100_000, max_image_bytes=90_000))
    with connect(web) as raw:
        raw.sendall(head("/api/v1/classify", "Content-Length: 100001"))
        assert b" 413 " in answer(raw)
    with connect(web) as raw:
        raw.sendall(
            head(
                "/api/v1/jobs",
                "Transfer-Encoding: chunked",
                "Content-Type: multipart/form-data; boundary=x",
            )
        )
        with contextlib.suppress(ConnectionError):
            raw.sendall(b"%x\r\n" % 7 + BOUNDARY + b"--\r\n")
            raw.sendall(b"30d40\r\n" + b"z" * 200_000 + b"\r\n0\r\n\r\n")
        assert b" 4" in answer(raw)[:20]


def test_a_stalled_body_is_given_up(serve: Serve) -> None:
    web = serve(WebConfig(idle_s=0.3))
    with connect(web) as raw:
        raw.sendall(head("/api/v1/classify", "Content-Length: 1000") + b"\xff\xd8")
        assert b" 408 " in answer(raw)


def test_a_trickling_body_is_given_up(serve: Serve) -> None:
    web = serve(WebConfig(idle_s=5, body_s=0.5))
    with connect(web) as raw:
        raw.sendall(head("/api/v1/classify", "Content-Length: 1000"))
        assert b" 408 " in drip(raw)


def test_a_missing_head_times_out(serve: Serve) -> None:
    web = serve(WebConfig(head_s=0.3))
    for beginning in (b"", b"GET / HTTP/1.1\r\nHost: local", b"GET /healthz HTTP/1.1\r\n"):
        with connect(web) as raw:
            raw.sendall(beginning)
            assert answer(raw) == b""
    with contextlib.ExitStack() as stack:  # nor is the second one on a connection
        raws: list[socket.socket] = []

        def is_answered() -> bool:
            raws.append(stack.enter_context(connect(web)))
            with contextlib.suppress(ConnectionError):
                raws[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return raws[-1].recv(1000).startswith(b"HTTP/1.1 200")
            return False

        wait_until(is_answered, "a head that is sent in time")
        raws[-1].sendall(b"GET /healthz HTT")
        assert answer(raws[-1]).count(b"HTTP/1.1") == 0


def test_a_client_that_leaves_in_the_middle_leaves_no_job_and_no_image(
    web: WebProcess, backend: MemoryBackend
) -> None:
    with connect(web) as raw:
        kind = "Content-Type: multipart/form-data; boundary=x"
        raw.sendall(head("/api/v1/jobs", kind, "Content-Length: 9000000"))
        for number in range(40):
            raw.sendall(BOUNDARY + PART + image_bytes(f"l{number}") + b"\r\n")
        wait_until(lambda: backend.requests.depth().total)
        assert any(backend.records.list("jobs/"))
    wait_until(lambda: not any(backend.records.list("jobs/")))
    wait_until(lambda: not any(backend.records.list("manifests/")))


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b"hello", 415),
        ("multipart/form-data", b"hello", 415),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=x", b"garbage", 400),
        ("multipart/form-data; boundary=x", BOUNDARY + b"broken header\r\n\r\nx", 400),
        ("multipart/form-data; boundary=x", BOUNDARY + b"A: b\r\n\r\nx\r\n--x--", 400),
        ("multipart/form-data; boundary=x", BOUNDARY + PART + image_bytes("cat"), 400),
        ("multipart/form-data; boundary=" + "y" * 3000, b"x", 400),
        ("multipart/form-data; boundary=x", BOUNDARY + b"H: " + b"v" * 99_999, 400),
        ("multipart/form-data; boundary=x", BOUNDARY + b"H: v\r\n" * 99, 400),
    ],
)
def test_a_corrupt_form_is_refused(web: WebProcess, kind: str, body: bytes, status: int) -> None:
    for path in ("/api/v1/jobs", "/upload"):
        found = web.client.post(path, content=body, headers={"content-type": kind})
        assert found.status_code == status, found.text


def test_all_uploads_together_hold_a_bounded_number_of_bytes(serve: Serve) -> None:
    web = serve(WebConfig(max_buffered_bytes=200_000, client_share=1.0))
    kind = {"content-type": "image/jpeg"}
    found = web.client.post("/api/v1/classify", content=image_bytes("x" * 300_000), headers=kind)
    assert found.status_code == 429
    # The memory of the refused request is free again.
    small = web.client.post(
        "/api/v1/classify?wait_s=0", content=image_bytes("x" * 150_000), headers=kind
    )
    assert small.status_code == 202


def test_a_body_that_is_slower_than_the_least_rate_is_given_up(serve: Serve) -> None:
    web = serve(WebConfig(idle_s=0.5, min_bytes_per_s=100_000))
    with connect(web) as raw:
        raw.sendall(head("/api/v1/classify", "Content-Length: 1000000") + b"\xff\xd8")
        found = drip(raw)
        assert b" 408 " in found
        assert b"body-too-slow" in found


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may open the files that the slow clients take on both their ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * SLOW_CLIENTS + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"the system allows {hard} open files, and this needs {needed}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_two_thousand_slow_clients_do_not_stop_a_fast_one(serve: Serve, worker: Worker) -> None:
    """None of them is given up while this test waits."""
    web = serve(WebConfig(idle_s=2 * PATIENCE_S), token=TOKEN, public_url=PUBLIC_URL)
    client = ("X-Forwarded-For: 203.0.113.1", f"Authorization: Bearer {TOKEN}")
    began = head("/api/v1/classify", "Content-Length: 200000", *client) + b"\xff\xd8\xff"
    with contextlib.ExitStack() as stack:
        slow: list[socket.socket] = []
        for _ in range(SLOW_CLIENTS):
            raw = stack.enter_context(connect(web))
            with contextlib.suppress(ConnectionError):
                raw.sendall(began + HELD)
            slow.append(raw)
        fast = stack.enter_context(another_client(web))
        for number in range(20):
            file = (f"{number}.jpg", image_bytes(f"l{number}"))
            assert fast.post("/", files={"f": file}).text == f"{number}.jpg:l{number}"
        refused = sum(_is_over(raw) for raw in slow)
    assert refused > SLOW_CLIENTS // 2, "their share of the memory was not felt"
    assert worker.classifier.batches


def _is_over(raw: socket.socket) -> bool:
    raw.settimeout(0)
    try:
        return b" 429 " in raw.recv(1000)
    except OSError as exc:
        return not isinstance(exc, BlockingIOError)


def test_one_client_cannot_have_all_event_streams(serve: Serve) -> None:
    web = serve(WebConfig(max_streams=8), token=TOKEN, public_url=PUBLIC_URL)
    client = f"X-Forwarded-For: 203.0.113.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    ask = b"GET /api/v1/status/events HTTP/1.1\r\nHost: localhost\r\n" + client.encode()
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            raw = stack.enter_context(connect(web))
            raw.sendall(ask)
            assert raw.recv(100).startswith(b"HTTP/1.1 200")
        third = stack.enter_context(connect(web))
        third.sendall(ask)
        refusal = answer(third)
        assert refusal.startswith(b"HTTP/1.1 429")
        assert b"too-many-streams" in refusal
        fast = stack.enter_context(another_client(web))
        stream = stack.enter_context(fast.stream("GET", "/api/v1/status/events"))
        assert stream.status_code == 200


def test_one_client_cannot_have_all_connections(serve: Serve) -> None:
    web = serve(WebConfig(max_connections=12))
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(web)) for _ in range(3)]
        with connect(web) as fourth:
            assert b"too-many-connections" in answer(fourth)
        with socket.create_connection(
            ("127.0.0.1", web.port), 20, ("127.0.0.2", 0)
        ) as fifth:  # another address of this machine, and the same client
            assert b"too-many-connections" in answer(fifth)
        held[0].close()
        wait_until(lambda: _is_taken_in(web))


def _is_taken_in(web: WebProcess) -> bool:
    with connect(web) as raw, contextlib.suppress(ConnectionError):
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return raw.recv(100).startswith(b"HTTP/1.1 200")
    return False


def another_client(web: WebProcess) -> httpx2.Client:
    """A client with another address, as a proxy forwards it."""
    headers = {"x-forwarded-for": "203.0.113.2", "authorization": f"Bearer {TOKEN}"}
    return httpx2.Client(base_url=web.url, headers=headers, timeout=PATIENCE_S)
