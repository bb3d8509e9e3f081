"""A stopped server leaves nothing of its own in the process: no child, thread, socket or pipe."""

import asyncio
import gc
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import uvicorn
from uvicorn.server import ServerState

from iraas.backends.local.backend import LocalBackend
from iraas.backends.memory import MemoryBackend
from iraas.web.config import WebConfig
from iraas.web.http.connections import bounded_protocol
from tests.async_run import run_async
from tests.browser.sample_images import image_bytes
from tests.functional.web.web_process import DEPLOYMENT, WebProcess, start_web
from tests.waiting import PATIENCE_S

HELD = Path("/proc/self/fd")

pytestmark = pytest.mark.skipif(not HELD.exists(), reason="this system does not list open files")


def held() -> set[str]:
    """All that the process has: files, sockets and pipes by their own names, threads, children."""
    found = {f"thread {one.name} {one.ident}" for one in threading.enumerate()}
    found |= {f"child {one.pid}" for one in psutil.Process().children()}
    for one in HELD.iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            found.add(f"file {one.name} {one.readlink()}")
    return found


@contextmanager
def warnings_of_the_collector() -> Iterator[list[str]]:
    """Collect the ResourceWarnings of unreachable objects that were not closed."""
    gc.collect()
    resource_warnings: list[str] = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield resource_warnings
        gc.collect()
    resource_warnings += [
        str(one.message) for one in found if issubclass(one.category, ResourceWarning)
    ]


def use(web: WebProcess) -> socket.socket:
    """Have a thumbnail made and an image sent by itself; returns an open event stream."""
    files = {"f": ("a.jpg", image_bytes("koala") + bytes(2_000_000))}  # too large for a message
    job = web.client.post("/api/v1/jobs", files=files).json()["job_id"]
    assert web.client.get(f"/api/v1/jobs/{job}/images/0/thumbnail").status_code == 200
    alone = web.client.post("/api/v1/classify?wait_s=0", files=files)
    assert alone.status_code == 202
    stream = socket.create_connection(("127.0.0.1", web.port), PATIENCE_S)
    ask = f"GET /api/v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    stream.sendall(ask.encode())
    assert stream.recv(100).startswith(b"HTTP/1.1 200")
    return stream


def open_nothing() -> None:
    """Let modules that open a file when they are first used do so now."""
    web = start_web(MemoryBackend())
    use(web).close()
    web.stop()


def test_a_stopped_server_leaves_nothing_open(tmp_path: Path) -> None:
    open_nothing()
    with warnings_of_the_collector() as resource_warnings:
        before = held()
        backend = LocalBackend(tmp_path, DEPLOYMENT, worker_command=["false"])
        web = start_web(backend)
        stream = use(web)
        kinds = {one.split()[0] for one in held() - before}
        assert kinds == {"thread", "child", "file"}
        web.stop()
        while stream.recv(1000):
            pass
        stream.close()
        backend.close()
        del web, backend
        assert held() - before == set()
    assert resource_warnings == []


def test_a_client_that_reads_nothing_leaves_no_connection_open(tmp_path: Path) -> None:
    """Its response is not written within the shutdown timeout."""
    open_nothing()
    with warnings_of_the_collector() as resource_warnings:
        before = held()
        backend = LocalBackend(tmp_path, DEPLOYMENT, worker_command=["false"])
        web = start_web(backend, limits=WebConfig(shutdown_timeout_s=1.0))
        files = {"f": ("a.jpg", image_bytes("koala") + bytes(20_000_000))}
        job = web.client.post("/api/v1/jobs", files=files).json()["job_id"]
        with socket.create_connection(("127.0.0.1", web.port), PATIENCE_S) as idle:
            ask = f"GET /api/v1/jobs/{job}/images/0 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            idle.sendall(ask.encode())
            assert idle.recv(12) == b"HTTP/1.1 200"
            web.stop()
        backend.close()
        del web, backend
        assert held() - before == set()
    assert resource_warnings == []


def test_what_is_being_accepted_at_the_shutdown_is_closed() -> None:
    async def accept() -> bytes:
        config = uvicorn.Config(lambda: None, log_config=None)
        protocol = bounded_protocol(WebConfig(), behind_proxy=False)
        protocol.is_closing = True
        server = await asyncio.get_running_loop().create_server(
            lambda: protocol(config, ServerState(), {}), "127.0.0.1", 0
        )
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            end = await reader.read()
            writer.close()
            await writer.wait_closed()
            return end

    assert run_async(accept()) == b""
