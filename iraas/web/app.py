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
from iraas.web.errors import handle_error
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
ERRORS = (Problem, IraasError, HTTPException, RequestValidationError, ClientDisconnect, Exception)


class Assets(StaticFiles):
    """Style sheets and scripts, cached by browsers and revalidated on each use."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Send a file, or 304 if it has not changed."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


async def _icon(_: Request) -> Response:
    """Serves browsers that request the icon at its conventional path."""
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
    """Create the application. Its services start with its lifespan.

    Args:
        backend: The deployment, open.
        deployment: The deployment's name.
        token: The token that clients must send; None for open access.
        limits: The configured limits.
        hosts: Accepted host names; empty for any.
        public_url: The address behind a reverse proxy; empty without one.
        clock: Returns seconds since the epoch.
    """
    state = AppState(
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
            await state.start()
            yield
        finally:
            await state.stop()

    app = FastAPI(
        title="iraas",
        version=iraas.__version__,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.app_state = state
    app.openapi = partial(make_document, app)  # type: ignore[method-assign]
    for error in ERRORS:
        app.add_exception_handler(error, handle_error)
    # A plain route: FastAPI's overhead would be a good part of this request's cost.
    app.add_route(CLASSIFY_PATH, api_classify.classify, methods=["POST"])
    for module in ROUTERS:
        app.include_router(module.router)
    app.add_route("/favicon.ico", _icon, include_in_schema=False)
    app.mount("/static", Assets(directory=static_folder()), name="static")
    app.add_middleware(SecurityMiddleware, state=state, hosts=hosts)
    return app
