"""The web tier as an ASGI application."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

import iraas
from iraas.core.ports import Backend
from iraas.errors import IraasError
from iraas.web.api import classify as api_classify
from iraas.web.api import downloads as api_downloads
from iraas.web.api import events as api_events
from iraas.web.api import images as api_images
from iraas.web.api import jobs as api_jobs
from iraas.web.api import status as api_status
from iraas.web.api.openapi import make_document
from iraas.web.api.schemas import CLASSIFY_PATH
from iraas.web.config import WebConfig
from iraas.web.errors import answer_fault
from iraas.web.pages import login as login_pages
from iraas.web.pages import pages
from iraas.web.pages.templating import static_folder
from iraas.web.problems import Problem
from iraas.web.security.middleware import SecurityMiddleware
from iraas.web.state import AppState

ROUTERS = (
    api_classify,
    api_jobs,
    api_events,
    api_images,
    api_downloads,
    api_status,
    pages,
    login_pages,
)
FAULTS = (Problem, IraasError, HTTPException, RequestValidationError, ClientDisconnect, Exception)


class Assets(StaticFiles):
    """Style sheets and scripts: browsers keep them, and ask whether they are still the same."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Send a file, or say that it has not changed."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


async def _icon(_: Request) -> Response:
    """For those who ask for it where it used to be."""
    return FileResponse(Path(static_folder(), "icon.svg"), media_type="image/svg+xml")


def create_app(
    backend: Backend,
    *,
    deployment: str,
    token: str | None = None,
    limits: WebConfig | None = None,
    hosts: frozenset[str] = frozenset(),
    public_url: str = "",
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """Make the application. It begins to work with its lifespan's start.

    Args:
        backend: The deployment, open.
        deployment: Its name.
        token: What clients must know; None for free access.
        limits: The bounds.
        hosts: Names that it may be called by; empty for any.
        public_url: Where people reach it through a proxy; empty if there is none.
        clock: Gives seconds since the epoch.
    """
    context = AppState(
        backend,
        deployment=deployment,
        token=token,
        limits=limits or WebConfig(),
        public_url=public_url,
        clock=clock,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await context.start()
            yield
        finally:
            await context.stop()

    app = FastAPI(
        title="iraas",
        version=iraas.__version__,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    app.openapi = partial(make_document, app)  # type: ignore[method-assign]
    for fault in FAULTS:
        app.add_exception_handler(fault, answer_fault)
    # Not through FastAPI: what it does for a request is a good part of what this one costs.
    app.add_route(CLASSIFY_PATH, api_classify.classify, methods=["POST"])
    for module in ROUTERS:
        app.include_router(module.router)
    app.add_route("/favicon.ico", _icon, include_in_schema=False)
    app.mount("/static", Assets(directory=static_folder()), name="static")
    app.add_middleware(SecurityMiddleware, context=context, hosts=hosts)
    return app
