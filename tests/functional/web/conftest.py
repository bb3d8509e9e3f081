"""Fixtures of the tests of the web tier."""

from collections.abc import Callable, Iterator

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.core.ports import Backend
from iraas.web.config import WebConfig
from tests.functional.web.web_process import Serve, WebProcess, Worker, hurry, start_web


@pytest.fixture(scope="package", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        yield


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def serve(backend: MemoryBackend) -> Iterator[Serve]:
    """Starts web tiers; all are stopped at the end."""
    started: list[WebProcess] = []

    def start(
        limits: WebConfig | None = None, on: Backend | None = None, **options: str
    ) -> WebProcess:
        web = start_web(on or backend, limits, **options)
        started.append(web)
        return web

    yield start
    for web in started:
        web.stop()


@pytest.fixture
def web(serve: Serve) -> WebProcess:
    return serve()


@pytest.fixture
def hire(backend: MemoryBackend) -> Iterator[Callable[[], Worker]]:
    """Starts workers; all are stopped at the end."""
    hired: list[Worker] = []

    def start() -> Worker:
        hired.append(Worker(backend))
        return hired[-1]

    yield start
    for worker in hired:
        worker.stop()


@pytest.fixture
def worker(hire: Callable[[], Worker]) -> Worker:
    return hire()
