"""A full disk and an exhausted quota: sending images can fill neither."""

import socket
from collections.abc import Callable
from http import HTTPStatus

import httpx2
import pytest

from iraas.backends.memory import MemoryBackend
from iraas.client.storage_guard import StorageLimits
from iraas.web.config import WebConfig
from tests.fakes.scripted_classifier import image_bytes
from tests.functional.web.web_process import Serve, WebProcess, Worker
from tests.waiting import wait_until

GB = 10**9
BIG = image_bytes("") + b"\xff" * 300_000
"""An image too large for a message of this backend."""
FULL = HTTPStatus.INSUFFICIENT_STORAGE


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend(max_body_bytes=52 * 1024)


@pytest.fixture
def full(backend: MemoryBackend, serve: Serve) -> WebProcess:
    """A web tier whose disk is full."""
    backend.storage.free_bytes, backend.storage.total_bytes = 900_000_000, 100 * GB
    return serve()


def files(count: int) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{number}.jpg", BIG)) for number in range(count)]


@pytest.mark.parametrize(
    "path", ["/api/v1/classify", "/api/v1/jobs", "/", "/upload", "/api/v1/jobs?open=true"]
)
def test_no_image_is_accepted_while_the_disk_is_full(full: WebProcess, path: str) -> None:
    answer = full.client.post(path, files={"inputFile": ("cat.jpg", BIG)})
    assert answer.status_code == FULL
    assert int(answer.headers["retry-after"]) > 0
    assert full.backend.requests.depth().total == 0
    assert list(full.backend.inputs.list()) == []


def test_the_error_says_what_is_full_and_what_to_do(full: WebProcess) -> None:
    problem = full.client.post("/api/v1/classify", content=BIG).json()
    assert problem["code"] == "storage-full"
    assert "0.9 GB" in problem["detail"] or "900.0 MB left" in problem["detail"]
    assert "Delete jobs" in problem["remedy"]


@pytest.mark.parametrize("path", ["/api/v1/classify", "/api/v1/jobs"])
def test_the_refusal_comes_before_the_body(full: WebProcess, path: str) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{full.port}\r\nContent-Length: 100000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", full.port), timeout=15) as client:
        client.sendall(head.encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 507 ")


def test_a_body_that_cannot_fit_is_refused_by_its_content_length(
    backend: MemoryBackend, serve: Serve
) -> None:
    backend.storage.free_bytes, backend.storage.total_bytes = GB + 1_000_000, 100 * GB
    web = serve()
    assert web.client.post("/api/v1/jobs", files=files(4)).status_code == FULL
    assert web.client.post("/api/v1/jobs", files=files(1)).status_code == HTTPStatus.ACCEPTED


def test_an_upload_without_a_length_stops_at_the_quota_and_resumes_when_there_is_space(
    backend: MemoryBackend, serve: Serve, hire: Callable[[], Worker]
) -> None:
    limits = WebConfig(storage=StorageLimits(max_stored_bytes=6_000_000))
    web = serve(limits)
    request = httpx2.Request("POST", f"{web.url}/api/v1/jobs", files=files(60))
    content_type = {"Content-Type": request.headers["content-type"]}
    answer = web.client.post("/api/v1/jobs", content=iter([request.read()]), headers=content_type)
    assert answer.status_code == FULL
    problem = answer.json()
    assert 0 < problem["accepted"] < 60
    hire()
    url = f"/api/v1/jobs/{problem['job_id']}"
    assert web.client.get(url).json()["state"] == "open"
    assert sum(one.size_bytes for one in backend.inputs.list()) <= 6_000_000


def test_workers_store_outcomes_while_the_disk_is_full(
    backend: MemoryBackend, serve: Serve, hire: Callable[[], Worker]
) -> None:
    web = serve()
    ticket = web.client.post("/api/v1/classify?wait_s=0", content=BIG).json()["url"]
    backend.storage.free_bytes, backend.storage.total_bytes = 0, 100 * GB
    hire()
    wait_until(lambda: web.client.get(ticket).status_code == HTTPStatus.OK, "the outcome")
    assert web.client.get(ticket).json()["label"] == "a real image"
