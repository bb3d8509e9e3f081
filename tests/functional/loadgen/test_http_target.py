"""Load over HTTP, against a real server that answers, refuses, hangs and breaks off."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from random import Random

import pytest
from aiohttp import web

from iraas.errors import BackendError, BackendUnavailableError, CredentialsError, UsageError
from iraas.loadgen.http_target import HttpTarget, check_url
from iraas.loadgen.images import LoadedImage
from iraas.loadgen.plan import Api, LoadPlan
from iraas.loadgen.results import Failure, Measurement, RequestResult
from iraas.loadgen.sampling import DeploymentLoad, Sampler
from iraas.loadgen.session import LoadResult, make_load
from tests.async_run import run_async
from tests.functional.loadgen.fake_tier import FakeTier, Outcomes, fake_tier
from tests.waiting import PATIENCE_S

CAT = LoadedImage("my cat.jpg", b"\xff\xd8\xff cat", "cat")


def ask(
    tier: FakeTier, *, api: Api = "classify", token: str = "", within_s: float = PATIENCE_S
) -> RequestResult:
    """Send one image."""

    async def one() -> RequestResult:
        async with HttpTarget(tier.url, api=api, token=token) as target:
            return await target.classify(CAT, asyncio.get_running_loop().time() + within_s)

    return run_async(one())


def load(
    tier: FakeTier, plan: LoadPlan, *, api: Api = "classify", watched: bool = False
) -> tuple[LoadResult, list[Measurement]]:
    """Make load, from the main thread."""
    measured: list[Measurement] = []

    async def run() -> LoadResult:
        async with HttpTarget(tier.url, api=api) as target:
            return await make_load(
                plan,
                target,
                [CAT],
                sampler=Sampler(target.load, 0.05) if watched else None,
                on_completed=measured.append,
                on_progress=lambda _: None,
                random=Random(1),
            )

    return run_async(run()), measured


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes()


def in_turn(
    *handlers: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answer successive requests in different ways; the last one repeats."""
    left = list(handlers)

    async def handle(request: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return handle


def answering(outcomes: Outcomes) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return outcomes(request.query["name"])

    return handle


async def hang(_request: web.Request) -> web.StreamResponse:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def break_off(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def turn_away(retry_after: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": retry_after})

    return handle


def test_an_image_is_sent_whole_with_its_name_and_the_token(outcomes: Outcomes) -> None:
    with fake_tier(answering(outcomes)) as tier:
        answer = ask(tier, token="s3cret")

    assert (answer.label, answer.failure) == ("cat", None)
    method, path, bearer, size = tier.requests[0]
    assert (method, bearer, size) == ("POST", "Bearer s3cret", len(CAT.data))
    address, _, wait_s = path.rpartition("&wait_s=")
    assert address == "/api/v1/classify?name=my+cat.jpg"
    assert 0 < int(wait_s) <= PATIENCE_S


def test_the_form_field_is_what_the_public_generators_send() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        form = await request.post()
        field = form["inputFile"]
        assert isinstance(field, web.FileField)
        assert field.file.read() == CAT.data
        return web.Response(text=f"{field.filename}:tabby")

    with fake_tier(handle) as tier:
        answer = ask(tier, api="inputfile")

    assert (answer.label, answer.failure) == ("tabby", None)
    assert tier.requests[0][:2] == ("POST", "/")


def test_connections_are_kept_alive(outcomes: Outcomes) -> None:
    ports: set[object] = set()

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername"))
        return outcomes(request.query["name"])

    with fake_tier(handle) as tier:
        result, _ = load(tier, LoadPlan(40, None, in_flight=4, timeout_s=PATIENCE_S))

    assert result.summary.succeeded == 40
    assert len(ports) <= 4


def test_a_rejected_request_is_retried_and_counted(outcomes: Outcomes) -> None:
    handle = in_turn(turn_away("0.0"), turn_away("1"), answering(outcomes))
    with fake_tier(handle) as tier:
        answer = ask(tier, within_s=PATIENCE_S)

    assert (answer.label, answer.retries, tier.posts) == ("cat", 2, 3)


def test_a_request_rejected_until_its_timeout_fails_as_busy() -> None:
    with fake_tier(turn_away("3600")) as tier:
        answer = ask(tier)

    assert (answer.failure, answer.status, tier.posts) == (Failure.BUSY, 429, 1)


def test_an_accepted_image_is_polled_for(outcomes: Outcomes) -> None:
    async def accept(_request: web.Request) -> web.StreamResponse:
        headers = {"Location": "/api/v1/tickets/t1", "Retry-After": "1"}
        return web.Response(status=202, headers=headers)

    async def give(request: web.Request) -> web.StreamResponse:
        assert (request.method, request.path) == ("GET", "/api/v1/tickets/t1")
        return outcomes("my cat.jpg")

    with fake_tier(in_turn(accept, turn_away("0.0"), give)) as tier:
        answer = ask(tier, within_s=PATIENCE_S)

    assert (answer.label, tier.posts, len(tier.requests)) == ("cat", 1, 3)


@pytest.mark.parametrize("location", ["http://elsewhere.invalid/t", "http://[", "//evil/t"])
def test_the_token_is_not_sent_to_another_server(location: str) -> None:
    async def accept(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=202, headers={"Location": location})

    with fake_tier(accept) as tier:
        answer = ask(tier, token="s3cret")

    assert answer.failure is Failure.MALFORMED
    assert len(tier.requests) == 1


def test_a_redirect_is_not_followed() -> None:
    async def redirect(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "https://elsewhere.invalid/"})

    with fake_tier(redirect) as tier:
        answer = ask(tier, token="s3cret")

    assert answer.failure is Failure.REFUSED
    assert "elsewhere.invalid" in answer.reason


def test_a_server_that_never_answers_costs_each_request_its_timeout() -> None:
    with fake_tier(hang) as tier:
        result, measured = load(tier, LoadPlan(6, None, in_flight=3, timeout_s=0.4))

    assert result.summary.failures == {"timeout": 6}
    assert all(one.latency_s >= 0.4 for one in measured)


def test_a_connection_that_breaks_is_a_failure_of_that_request_alone(outcomes: Outcomes) -> None:
    handle = in_turn(answering(outcomes), break_off, answering(outcomes))
    with fake_tier(handle) as tier:
        result, measured = load(tier, LoadPlan(5, None, in_flight=1, timeout_s=PATIENCE_S))

    assert result.summary.failures == {"connection error": 1}
    assert [one.result.failure for one in measured].count(None) == 4
    assert measured[1].result.reason


def test_a_truncated_answer_is_a_connection_error() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response

    with fake_tier(handle) as tier:
        assert ask(tier).failure is Failure.CONNECTION


def test_an_endless_answer_is_cut_off() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65_536)
        return response

    with fake_tier(handle) as tier:
        answer = ask(tier, within_s=PATIENCE_S)

    assert answer.failure is Failure.CONNECTION
    assert "too long" in answer.reason


@pytest.mark.parametrize(
    "raw",
    [b"not http at all\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nA" * 9000],
)
def test_a_server_that_does_not_speak_http_is_a_failure(raw: bytes) -> None:
    with raw_server(raw) as url, fake_url(url) as tier:
        answer = ask(tier)

    assert answer.failure in {Failure.CONNECTION, Failure.MALFORMED}


def test_server_errors_and_malformed_answers_are_distinguished(outcomes: Outcomes) -> None:
    async def fail(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": "the queue is gone"}, status=503)

    async def garble(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>welcome to my proxy</html>")

    async def mix_up(_request: web.Request) -> web.StreamResponse:
        return outcomes("dog.jpg")

    handle = in_turn(fail, garble, mix_up, answering(outcomes))
    with fake_tier(handle) as tier:
        result, _ = load(tier, LoadPlan(4, None, in_flight=1, timeout_s=PATIENCE_S))

    assert result.summary.failures == {
        "server error": 1,
        "garbled answer": 1,
        "another's answer": 1,
    }
    assert result.summary.reasons["server error"] == "503: the queue is gone"
    assert (result.summary.succeeded, result.summary.right) == (1, 1)


def test_an_open_loop_measures_from_the_due_time(outcomes: Outcomes) -> None:
    """The server's first answer takes 0.6 s, and only one request may be under way."""
    waited = threading.Event()

    async def slow_at_first(request: web.Request) -> web.StreamResponse:
        if not waited.is_set():
            waited.set()
            await asyncio.sleep(0.6)
        return outcomes(request.query["name"])

    plan = LoadPlan(5, None, 1, timeout_s=PATIENCE_S, rate_per_s=10, arrivals="fixed")
    with fake_tier(slow_at_first) as tier:
        result, measured = load(tier, plan)

    assert all(one.latency_s >= 0.59 - one.due_s for one in measured)
    assert result.summary.late_s > 0.15


def test_the_deployment_is_watched_through_its_web_tier(outcomes: Outcomes) -> None:
    status = {
        "queue": {"visible": 5, "in_flight": 2, "delayed": 0},
        "workers": [{"state": "running"}, {"state": "booting"}, {"state": "running"}],
    }

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/api/v1/status":
            return web.json_response(status)
        await asyncio.sleep(0.1)
        return outcomes(request.query["name"])

    with fake_tier(handle) as tier:
        result, _ = load(tier, LoadPlan(5, None, 1, timeout_s=PATIENCE_S), watched=True)

    assert len(result.samples) > 1
    assert result.samples[0].load == DeploymentLoad(waiting=5, in_flight=2, workers=3, working=2)
    assert result.summary.fleet is not None
    assert result.summary.fleet.most_workers == 3
    assert result.summary.fleet.worker_seconds == pytest.approx(3 * result.summary.total_s)


def test_missing_status_updates_leave_a_gap_and_no_failure(
    outcomes: Outcomes,
) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/api/v1/status":
            return web.Response(status=500)
        return outcomes(request.query["name"])

    with fake_tier(handle) as tier:
        result, _ = load(tier, LoadPlan(5, None, 1, timeout_s=PATIENCE_S), watched=True)

    assert (result.summary.succeeded, result.summary.fleet, result.samples) == (5, None, ())


def test_a_refused_connection_is_reported_before_any_load() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def check() -> None:
        async with HttpTarget(f"http://127.0.0.1:{port}", api="classify") as target:
            with pytest.raises(
                BackendUnavailableError, match=f"127.0.0.1:{port}: Connection refused"
            ):
                await target.check()
            with pytest.raises(BackendError, match="does not answer"):
                await target.load()

    run_async(check())


@pytest.mark.parametrize(
    ("token", "complaint"), [("", "requires a token"), ("wrong", "rejects this token")]
)
def test_a_refused_token_is_reported_before_any_load(token: str, complaint: str) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        known = request.headers.get("Authorization") == "Bearer right"
        return web.Response(status=200 if known else 401)

    async def check(url: str, token: str) -> None:
        async with HttpTarget(url, api="classify", token=token) as target:
            await target.check()

    with fake_tier(refuse) as tier:
        with pytest.raises(CredentialsError, match=complaint) as refused:
            run_async(check(tier.url, token))
        run_async(check(tier.url, "right"))

    assert "IRAAS_TOKEN" in refused.value.remedy


def test_a_silent_server_counts_as_reachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iraas.loadgen.http_target.TOKEN_TIMEOUT_S", 0.1)

    async def check(url: str) -> None:
        async with HttpTarget(url, api="classify") as target:
            await target.check()

    with raw_server(b"") as url:
        run_async(check(url))


@pytest.mark.parametrize(
    "text", ["", "ftp://h/", "http://", "h:8000", "http://u:p@h/", "http://h/?a=b", "http://[/"]
)
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a web tier"):
        check_url(text)


@contextlib.contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """A server that accepts one request and always returns the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host, port = listening.getsockname()
        yield f"http://{host}:{port}"
        thread.join(PATIENCE_S)


@contextlib.contextmanager
def fake_url(url: str) -> Iterator[FakeTier]:
    """Imitates a web server other than ours."""
    tier = FakeTier(hang)
    tier.url = url
    yield tier
