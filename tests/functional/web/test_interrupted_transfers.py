"""Interrupted uploads and downloads."""

import contextlib
import socket

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.core.ids import request_id
from iraas.core.keys import input_key
from iraas.errors import BackendUnavailableError
from iraas.web.config import WebConfig
from tests.fakes.scripted_classifier import image_bytes
from tests.functional.web.web_process import Serve, WebProcess
from tests.waiting import wait_until

LARGE = bytes(40_000_000)


def test_a_backend_failure_during_an_upload_reports_the_accepted_images(
    web: WebProcess, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = backend.requests.send

    def send_first(messages: list[object]) -> None:
        if backend.requests.depth().total >= 32:
            raise BackendUnavailableError("the disk is full")
        send(messages)  # type: ignore[arg-type]

    monkeypatch.setattr(backend.requests, "send", send_first)
    files = [("f", (f"{n}.jpg", image_bytes(f"l{n}"))) for n in range(40)]
    answer = web.client.post("/api/v1/jobs", files=files)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "backend-unavailable")
    assert problem["accepted"] == 32
    monkeypatch.undo()
    address = f"/api/v1/jobs/{problem['job_id']}"
    rest = web.client.post(f"{address}/images", files=files[32:])
    assert (rest.status_code, rest.json()["accepted"]) == (202, 8)
    # Images that could not be sent have failed, so that the job ends.
    assert web.client.get(address, params={"status": "failed"}).json()["failed"] == 8


def store(web: WebProcess, backend: MemoryBackend, data: bytes) -> str:
    job = web.client.post("/api/v1/jobs", files={"f": ("a.jpg", image_bytes("cat"))}).json()[
        "job_id"
    ]
    backend.inputs.put(input_key(request_id(job, 0), "jpg"), data)
    return f"/api/v1/jobs/{job}/images/0"


def test_an_unread_download_is_ended_and_its_memory_released(
    serve: Serve, backend: MemoryBackend
) -> None:
    web = serve(
        WebConfig(send_s=1.0, capacity_wait_s=0.1, max_buffered_bytes=50_000_000, client_share=1.0)
    )
    address = store(web, backend, LARGE)
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", web.port))
        raw.sendall(f"GET {address} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert raw.recv(12) == b"HTTP/1.1 200"
        refused = web.client.get(address)
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")
        wait_until(lambda: web.client.get(address).status_code == 200)
        received = 0
        with contextlib.suppress(ConnectionError):
            while part := raw.recv(1_000_000):
                received += len(part)
        assert received < len(LARGE)


def test_a_download_waits_for_capacity(serve: Serve, backend: MemoryBackend) -> None:
    web = serve(WebConfig(max_buffered_bytes=45_000_000, client_share=1.0))
    address = store(web, backend, LARGE)
    with web.client.stream("GET", address) as first:
        assert first.status_code == 200
        first.read()
    answer = web.client.get(address)
    assert (answer.status_code, len(answer.content)) == (200, len(LARGE))
    assert answer.headers["content-length"] == str(len(LARGE))
