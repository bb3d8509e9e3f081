"""A web tier and a worker, both in threads of the test."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import uvicorn.server

from iraas.core.ports import Backend
from iraas.monitoring import webhooks
from iraas.web import state
from iraas.web.config import WebConfig
from iraas.web.security import revocations
from iraas.web.server import WebServer
from iraas.web.streaming import events
from iraas.worker.heartbeat import Heartbeat
from iraas.worker.pipeline import Pipeline
from iraas.worker.receiver import WorkerLimits
from tests.fakes.scripted_classifier import ScriptedClassifier
from tests.waiting import PATIENCE_S

DEPLOYMENT = "shop"
Serve = Callable[..., "WebProcess"]


TICK_S = 0.005


class _QuickTicks:
    """The module `asyncio` as uvicorn's server sees it, with no pause between its ticks."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, _: float) -> None:
        await asyncio.sleep(TICK_S)


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Shorten what web tiers poll for: their own stop, outcomes without a reply, logouts at other
    processes, and webhooks that are due.
    """
    patch.setattr(uvicorn.server, "asyncio", _QuickTicks())
    patch.setattr(events, "MIN_POLL_S", 0.05)
    patch.setattr(events, "POLL_AFTER_REPLIES_S", 0.2)
    patch.setattr(events, "STATUS_S", 0.05)
    patch.setattr(events, "RECONNECT", "retry: 50\n\n")
    patch.setattr(revocations, "REFRESH_S", 0.2)
    patch.setattr(state, "WEBHOOK_S", 0.05)
    patch.setattr(webhooks, "MAX_PROGRESS_AGE_S", 0.05)
    patch.setattr(webhooks, "FIRST_RETRY_S", 0.05)


@dataclass
class WebProcess:
    """A running web tier.

    Attributes:
        server: The server.
        backend: Its deployment.
        client: An HTTP client that knows its address.
    """

    server: WebServer
    backend: Backend
    client: httpx2.Client
    thread: threading.Thread

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        self.client.close()


def start_web(backend: Backend, limits: WebConfig | None = None, **options: str) -> WebProcess:
    """Start a web tier and wait until it accepts requests."""
    server = WebServer(backend, deployment=DEPLOYMENT, port=0, limits=limits, **options)
    is_ready = threading.Event()
    thread = threading.Thread(target=server.run, args=(lambda _: is_ready.set(),), daemon=True)
    thread.start()
    assert is_ready.wait(PATIENCE_S)
    return WebProcess(
        server, backend, httpx2.Client(base_url=server.url, timeout=PATIENCE_S), thread
    )


class AnyImageClassifier(ScriptedClassifier):
    """Reads labels from bytes, and has one for real images too."""

    def prepare(self, data: bytes) -> str:
        try:
            return super().prepare(data)
        except UnicodeDecodeError:
            return "a real image"


class Worker:
    """A worker in a thread: the real pipeline around a classifier that reads labels from bytes.

    Attributes:
        classifier: Its `gate` holds back inference.
    """

    def __init__(self, backend: Backend) -> None:
        self.classifier = AnyImageClassifier()
        self._pipeline = Pipeline(
            backend,
            self.classifier,
            "w-test",
            limits=WorkerLimits(wait_s=0.1),
            on_heartbeat=_ignore_heartbeat,
        )
        self._thread = threading.Thread(target=self._pipeline.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._pipeline.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def _ignore_heartbeat(_: Heartbeat) -> None:
    """No supervisor listens."""


@dataclass(frozen=True)
class Event:
    """A server-sent event."""

    name: str
    identity: str
    data: str


def read_events(lines: "httpx2.Response") -> list[Event]:
    """The events of a stream that has ended."""
    return [event_of(block) for block in lines.read().decode().split("\n\n") if "event:" in block]


def event_of(block: str) -> Event:
    """Read one event."""
    fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
    return Event(fields["event"], fields.get("id", ""), fields["data"])
