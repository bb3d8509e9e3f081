"""The metadata client, against a real HTTP server that behaves as the service does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from iraas.backends.aws.fleet.instance_metadata import (
    ENDPOINT,
    InstanceMetadata,
    SpotNotice,
    metadata_endpoint,
    watch_spot_notice,
)
from iraas.errors import BackendUnavailableError, ConfigurationError
from tests.waiting import PATIENCE_S

INSTANCE = "i-0123456789abcdef0"


class FakeImds:
    """The answers of the service and the requests it received."""

    def __init__(self) -> None:
        self.answers = {"/latest/meta-data/instance-id": INSTANCE}
        self.token = "secret-1"
        self.tokens_given = 0
        self.asked: list[str] = []
        self.hangs = False
        self.done = threading.Event()
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    imds: FakeImds

    def do_PUT(self) -> None:
        self.imds.tokens_given += 1
        asks_for_life = int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0
        self._say(200 if asks_for_life else 400, self.imds.token)

    def do_GET(self) -> None:
        self.imds.asked.append(self.path)
        if self.imds.hangs:
            self.imds.done.wait(PATIENCE_S)
        if self.headers.get("X-aws-ec2-metadata-token") != self.imds.token:
            self._say(401, "")
        elif self.path in self.imds.answers:
            self._say(200, self.imds.answers[self.path])
        else:
            self._say(404, "not found")

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that gave up waiting, as tests make them do."""


@contextmanager
def serving(imds: FakeImds) -> Iterator[None]:
    handler = type("Handler", (_Handler,), {"imds": imds})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        imds.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield
        finally:
            imds.done.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def imds() -> Iterator[FakeImds]:
    fake = FakeImds()
    with serving(fake):
        yield fake


def test_an_instance_learns_its_id_with_one_token_for_several_questions(imds: FakeImds) -> None:
    metadata = InstanceMetadata(imds.url)
    assert [metadata.instance_id(), metadata.instance_id()] == [INSTANCE, INSTANCE]
    assert imds.tokens_given == 1


def test_a_token_that_the_service_forgot_is_replaced(imds: FakeImds) -> None:
    metadata = InstanceMetadata(imds.url)
    metadata.instance_id()
    imds.token = "secret-2"
    assert metadata.instance_id() == INSTANCE


def test_a_token_is_renewed_before_it_ends(imds: FakeImds) -> None:
    now = [0.0]
    metadata = InstanceMetadata(imds.url, clock=lambda: now[0])
    metadata.instance_id()
    now[0] = 20_000.0
    metadata.instance_id()
    assert imds.tokens_given == 2


@pytest.mark.parametrize("nonsense", ["", "i-XYZ", "<html>", "i-0123456789abcdef0\nx"])
def test_an_invalid_id_is_refused(imds: FakeImds, nonsense: str) -> None:
    imds.answers["/latest/meta-data/instance-id"] = nonsense
    with pytest.raises(BackendUnavailableError, match="returned no instance id"):
        InstanceMetadata(imds.url).instance_id()


def test_no_notice_is_no_error(imds: FakeImds) -> None:
    assert InstanceMetadata(imds.url).spot_notice() is None


def test_a_spot_notice_says_what_and_when(imds: FakeImds) -> None:
    notice = {"action": "terminate", "time": "2026-11-22T08:22:00Z"}
    imds.answers["/latest/meta-data/spot/instance-action"] = json.dumps(notice)
    assert InstanceMetadata(imds.url).spot_notice() == SpotNotice(
        "terminate", "2026-11-22T08:22:00Z"
    )


@pytest.mark.parametrize("corrupt", ["{", "[]", "{}", '"terminate"'])
def test_a_corrupt_notice_is_still_a_notice(imds: FakeImds, corrupt: str) -> None:
    imds.answers["/latest/meta-data/spot/instance-action"] = corrupt
    assert InstanceMetadata(imds.url).spot_notice() == SpotNotice("terminate", "")


def test_a_service_that_hangs_costs_a_bounded_time(imds: FakeImds) -> None:
    imds.hangs = True
    with pytest.raises(BackendUnavailableError, match="cannot be reached"):
        InstanceMetadata(imds.url, timeout_s=0.1).instance_id()


def test_where_there_is_no_service_the_error_says_so() -> None:
    with pytest.raises(BackendUnavailableError, match="cannot be reached") as caught:
        InstanceMetadata("http://127.0.0.1:1").instance_id()
    assert caught.value.remedy


def test_a_proxy_in_the_environment_is_not_asked(
    imds: FakeImds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert InstanceMetadata(imds.url).instance_id() == INSTANCE


def test_the_watch_reports_the_notice_once_and_survives_failures(imds: FakeImds) -> None:
    metadata = InstanceMetadata(imds.url)
    notices: list[SpotNotice] = []
    watch = threading.Thread(
        target=watch_spot_notice,
        args=(metadata, notices.append, threading.Event()),
        kwargs={"poll_interval_s": 0.001},
    )
    imds.answers["/latest/api/token"] = ""
    watch.start()
    while len(imds.asked) < 3:
        threading.Event().wait(0.001)
    assert notices == []
    imds.answers["/latest/meta-data/spot/instance-action"] = '{"action": "terminate"}'
    watch.join(PATIENCE_S)
    assert notices == [SpotNotice("terminate", "")]


def test_the_watch_can_be_stopped(imds: FakeImds) -> None:
    stop = threading.Event()
    watch = threading.Thread(
        target=watch_spot_notice, args=(InstanceMetadata(imds.url), print, stop)
    )
    watch.start()
    stop.set()
    watch.join(PATIENCE_S)
    assert not watch.is_alive()


def test_the_endpoint_can_be_set_by_the_sdks_own_variable() -> None:
    assert metadata_endpoint({}) == ENDPOINT
    assert metadata_endpoint({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://x:1"}) == "http://x:1"


@pytest.mark.parametrize("endpoint", ["file:///etc/passwd", "https://x", "", "127.0.0.1"])
def test_an_endpoint_that_is_no_http_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="not a valid URL"):
        InstanceMetadata(endpoint)
