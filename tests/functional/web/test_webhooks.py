"""Webhooks that report the end of a job."""

import hmac
import json
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.web.config import WebConfig
from tests.fakes.scripted_classifier import BROKEN
from tests.functional.web.test_jobs import files
from tests.functional.web.web_process import Serve, WebProcess, Worker, start_web
from tests.waiting import wait_until

SECRET = "shared with the receiver"
POLL_S = 0.01
LISTED = "receiver.test:8443"
Hire = Callable[[], Worker]


class Receiver:
    """An HTTP server that takes webhooks.

    Attributes:
        taken: The headers and the body of each.
        answers: The statuses to answer with, one after another; then 200.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.taken.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                receiver.taken.append(({}, b"a redirect was followed"))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(POLL_S,))
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


def limits(receiver: Receiver) -> WebConfig:
    return WebConfig(webhook_hosts=(receiver.host,), webhook_secret=SECRET)


def test_the_end_of_a_job_is_delivered_once_and_signed(
    serve: Serve, hire: Hire, receiver: Receiver, backend: MemoryBackend
) -> None:
    web = serve(limits(receiver))
    sent = [*files("cat"), ("images", ("bad.jpg", BROKEN))]
    answer = web.client.post(f"/api/v1/jobs?webhook={receiver.url}/done?x=1", files=sent)
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert not receiver.taken
    hire()
    wait_until(lambda: receiver.taken)
    headers, body = receiver.taken[0]
    assert json.loads(body) == {
        "job_id": job_id, "state": "done", "total": 2, "done": 2, "failed": 1,
    }  # fmt: skip
    stamped = headers["x-iraas-timestamp"].encode() + b"." + body
    expected = hmac.new(SECRET.encode(), stamped, sha256).hexdigest()
    assert headers["x-iraas-signature"] == f"sha256={expected}"
    # Everything in the request is signed.
    signed_headers = {name for name in headers if name.startswith("x-")}
    assert signed_headers == {"x-iraas-timestamp", "x-iraas-signature"}
    assert job_id not in str(headers)
    wait_until(lambda: not list(backend.records.list("webhooks/")))
    assert len(receiver.taken) == 1


def test_a_redirect_is_not_followed_and_counts_as_no_answer(
    serve: Serve, receiver: Receiver, hire: Hire
) -> None:
    receiver.answers = [302]
    web = serve(limits(receiver))
    web.client.post(f"/api/v1/jobs?webhook={receiver.url}/done", files=files("cat"))
    hire()
    wait_until(lambda: len(receiver.taken) == 2)
    assert all(headers["x-iraas-signature"] for headers, _ in receiver.taken)


@pytest.fixture(scope="module")
def with_allowed_hosts() -> Iterator[WebProcess]:
    """A web tier with one host on its list."""
    web = start_web(MemoryBackend(), WebConfig(webhook_hosts=(LISTED,), webhook_secret=SECRET))
    yield web
    web.stop()


def test_a_webhook_may_go_to_a_listed_host(with_allowed_hosts: WebProcess) -> None:
    address = {"webhook": f"http://{LISTED}/done?x=1"}
    answer = with_allowed_hosts.client.post("/api/v1/jobs", params=address, files=files("cat"))
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/",
        "http://127.0.0.1/",
        "http://127.0.0.1:1/",
        "ftp://HOST/",
        "file:///etc/passwd",
        "http://user:password@HOST/",
        "http://HOST@evil.example/",
        "http://evil.example#@HOST/",
        "http://evil.example\\@HOST/",
        "http://[::1",
        "http://HOST:99999/",
        "http://HOST/ a",
        "http://HOST/\r\nX: y",
        "//HOST/",
        "x" * 5000,
    ],
)
def test_a_webhook_goes_to_listed_hosts_only(with_allowed_hosts: WebProcess, url: str) -> None:
    address = {"webhook": url.replace("HOST", LISTED)}
    answer = with_allowed_hosts.client.post("/api/v1/jobs", params=address, files=files("cat"))
    assert answer.status_code == 422
    assert answer.json()["code"] == "bad-webhook"


def test_without_a_secret_there_are_no_webhooks(serve: Serve) -> None:
    web = serve(WebConfig(webhook_hosts=(LISTED,)))
    address = {"webhook": f"http://{LISTED}"}
    answer = web.client.post("/api/v1/jobs", params=address, files=files("cat"))
    assert answer.status_code == 422


def test_a_webhook_outlives_its_server(
    serve: Serve, hire: Hire, receiver: Receiver, backend: MemoryBackend
) -> None:
    first = serve(limits(receiver))
    first.client.post(f"/api/v1/jobs?webhook={receiver.url}", files=files("cat"))
    first.stop()
    (noted,) = backend.records.list("webhooks/")
    claim = json.loads(backend.records.get(noted.key))
    backend.records.put(noted.key, json.dumps({**claim, "claimed_until": 0.0}).encode())
    hire()
    serve(limits(receiver))
    wait_until(lambda: receiver.taken)
