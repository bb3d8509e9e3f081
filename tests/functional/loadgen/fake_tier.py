"""A small web tier that answers as a test says, on a real socket, in a separate thread."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.waiting import PATIENCE_S

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
JOB = "01kaq3f8x2m4t6v8z0b2d4f6h8"


class FakeTier:
    """Serves until the end of its ``with`` block.

    Attributes:
        requests: Method, path, bearer token and raw body's length of each request, in order.
        url: Its address.
    """

    def __init__(self, handler: Handler) -> None:
        self.requests: list[tuple[str, str, str, int]] = []
        self.url = ""
        self._handler = handler
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    @property
    def posts(self) -> int:
        """The number of posted requests."""
        return sum(method == "POST" for method, *_ in self.requests)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=10**8)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        is_form = request.content_type.startswith("multipart/")
        body = b"" if is_form else await request.read()  # a handler may read a form only once
        bearer = request.headers.get("Authorization", "")
        self.requests.append((request.method, request.path_qs, bearer, len(body)))
        if request.method == "GET" and request.path == "/":
            return web.Response(text="hello")
        return await self._handler(request)


@contextmanager
def fake_tier(handler: Handler) -> Iterator[FakeTier]:
    with FakeTier(handler) as tier:
        yield tier


class Outcomes:
    """Makes an outcome a request, each with an id of its own."""

    def __init__(self, label: str = "cat") -> None:
        self._count = 0
        self._label = label

    def __call__(self, name: str, **changes: Any) -> web.Response:
        self._count += 1
        value = {
            "request_id": f"{JOB}-{self._count:08d}",
            "job_id": JOB,
            "name": name,
            "status": "ok",
            "label": self._label,
            "score": 0.5,
            "top": [{"label": self._label, "score": 0.5}],
            "reason": None,
            "model": "m@1",
            "worker": "w-1",
            "attempts": 1,
            "submitted_at": 1.0,
            "completed_at": 2.0,
        }
        return web.Response(text=json.dumps(value | changes), content_type="application/json")
