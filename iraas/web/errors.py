"""Responses to failed requests: a page for a browser, a problem document for a program."""

import logging
from http import HTTPStatus
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from iraas.core.control_chars import escape_control_chars
from iraas.errors import IraasError
from iraas.web.pages.problem import problem_page
from iraas.web.problems import Problem, problem_of

log = logging.getLogger(__name__)


async def handle_error(request: Request, exc: Exception) -> Response:
    """FastAPI exception handler."""
    return error_response(exc, request.scope)


def error_response(exc: Exception, scope: Scope) -> Response:
    """Create the response to a failed request, and log unexpected errors.

    Args:
        exc: The exception.
        scope: The request's scope.
    """
    problem = to_problem(exc)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error(
            "%s %s failed", scope["method"], escape_control_chars(scope["path"])[:200], exc_info=exc
        )
    if not _wants_page(scope):
        return problem.response()
    if problem.status == HTTPStatus.UNAUTHORIZED:
        return RedirectResponse(_login_address(scope), HTTPStatus.SEE_OTHER)
    return problem_page(problem, Request(scope))


def to_problem(exc: Exception) -> Problem:
    """Convert an exception to a problem; unexpected ones reveal no details."""
    if isinstance(exc, Problem):
        return exc
    if isinstance(exc, IraasError):
        return problem_of(exc)
    if isinstance(exc, RequestValidationError):
        return _invalid(exc)
    if isinstance(exc, HTTPException):
        phrase = HTTPStatus(exc.status_code).phrase
        code = phrase.lower().replace(" ", "-")
        return Problem(exc.status_code, f"{phrase}.", code=code, headers=exc.headers)
    if isinstance(exc, ClientDisconnect):
        return Problem(HTTPStatus.BAD_REQUEST, "the client disconnected", code="client-left")
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "An internal error occurred.", code="internal")


def _invalid(exc: RequestValidationError) -> Problem:
    errors = exc.errors()
    first = errors[0] if errors else {"loc": (), "msg": "it is invalid"}
    where = ".".join(str(part) for part in first["loc"])
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}"[:500], code="bad-parameter"
    )


def _login_address(scope: Scope) -> str:
    """Return the address of the login page, which leads back to the requested page.

    A form cannot be submitted again from there, so that the page says that it was lost.
    """
    if scope["method"] not in {"GET", "HEAD"}:
        return "/login?lost=true"
    query = scope["query_string"].decode("latin-1")
    target = f"{scope['path']}?{query}" if query else scope["path"]
    return f"/login?next={quote(target, safe='/')}"


def _wants_page(scope: Scope) -> bool:
    if scope["path"].startswith("/api/"):
        return False
    return "text/html" in Request(scope).headers.get("accept", "")
