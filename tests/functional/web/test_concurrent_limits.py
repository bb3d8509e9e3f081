"""Limits under concurrent requests: check and reservation are atomic."""

import asyncio

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.web.config import WebConfig
from iraas.web.uploads.upload_handler import FLUSH_IMAGES
from tests.async_run import run_async
from tests.fakes.scripted_classifier import image_bytes
from tests.functional.web.test_jobs import make_job
from tests.functional.web.web_process import Serve, WebProcess
from tests.waiting import wait_until

CLIENTS = 120
BOUNDARY = "x"
WAIT_S = 60


async def statuses_at_once(web: WebProcess, requests: list[bytes]) -> list[int]:
    """Send requests on connections of their own, all at the same moment; every connection stays
    open until all of them have their status.
    """
    connections = [await asyncio.open_connection("127.0.0.1", web.port) for _ in requests]
    for (_, writer), request in zip(connections, requests, strict=True):
        writer.write(request)
    lines = await asyncio.gather(
        *(asyncio.wait_for(reader.readline(), WAIT_S) for reader, _ in connections)
    )
    for _, writer in connections:
        writer.close()
    await asyncio.gather(*(w.wait_closed() for _, w in connections), return_exceptions=True)
    return [int(line.split()[1]) for line in lines]


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: bytes = b"", kind: str = "text/plain") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def upload(count: int) -> bytes:
    parts = [
        f"--{BOUNDARY}\r\n".encode()
        + b'Content-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n'
        + image_bytes(f"l{n}")
        + b"\r\n"
        for n in range(count)
    ]
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return post("/api/v1/jobs", body, f"multipart/form-data; boundary={BOUNDARY}")


def test_no_more_event_streams_are_open_than_one_client_may_have(serve: Serve) -> None:
    web = serve(WebConfig(max_streams=40, client_share=0.25))
    web.client.get("/api/v1/status")
    job_id = make_job(web, "cat")
    for path in ("/api/v1/status/events", f"/api/v1/jobs/{job_id}/events"):
        statuses = run_async(statuses_at_once(web, [get(path)] * CLIENTS))
        assert (statuses.count(200), statuses.count(429)) == (10, CLIENTS - 10), path
        # Closed streams are no longer counted, and refused ones never were.
        wait_until(lambda: "iraas_event_streams 0.0" in web.client.get("/metrics").text)
    assert web.client.head("/api/v1/status/events").status_code == 200


def test_uploads_at_once_do_not_pass_the_bound_of_the_backlog_together(
    serve: Serve, backend: MemoryBackend
) -> None:
    web = serve(WebConfig(max_pending=40, capacity_wait_s=0.2))
    statuses = run_async(statuses_at_once(web, [upload(FLUSH_IMAGES)] * 30))
    assert set(statuses) == {202, 429}
    # One request may exceed it by its images in memory.
    assert backend.requests.depth().total < 40 + FLUSH_IMAGES


def test_single_images_at_once_do_not_pass_the_bound_of_the_backlog(
    serve: Serve, backend: MemoryBackend
) -> None:
    web = serve(WebConfig(max_pending=20))
    request = post("/api/v1/classify?wait_s=0", image_bytes("cat"), "image/jpeg")
    statuses = run_async(statuses_at_once(web, [request] * CLIENTS))
    assert (statuses.count(202), statuses.count(429)) == (20, CLIENTS - 20)
    assert backend.requests.depth().total == 20


def test_reserved_capacity_that_is_not_used_is_released(serve: Serve) -> None:
    web = serve(WebConfig(max_pending=2, capacity_wait_s=0.2))
    for _ in range(5):
        made = web.client.post("/api/v1/jobs", files=[("f", ("notes.txt", b"text"))])
        assert made.status_code == 202, made.text
    answer = web.client.post("/api/v1/classify?wait_s=0", content=b"no image")
    assert answer.status_code == 422
    answer = web.client.post("/api/v1/classify?wait_s=0", content=image_bytes("cat"))
    assert answer.status_code == 202


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("path", ["/api/v1/jobs/{}/retry", "/jobs/{}/retry", "/jobs/{}/retry/0"])
def test_a_retry_is_refused_while_too_many_images_are_pending(serve: Serve, path: str) -> None:
    web = serve(WebConfig(max_pending=2))
    job_id = make_job(web, "cat")
    web.server._server._state.backlog.record_depth(1_000_000, 0)
    assert web.client.post(path.format(job_id)).status_code == 429
