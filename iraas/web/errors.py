"""What a client gets when something went wrong: a page for a browser, a problem for a program."""

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


async def answer_fault(request: Request, exc: Exception) -> Response:
    """FastAPI's way to hand over an exception."""
    return fault_response(exc, request.scope)


def fault_response(exc: Exception, scope: Scope) -> Response:
    """The answer to a request that failed."""
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
    """The problem behind any exception; what was not foreseen says nothing of the inside."""
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
        return Problem(HTTPStatus.BAD_REQUEST, "the client left", code="client-left")
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here.", code="internal")


def _invalid(exc: RequestValidationError) -> Problem:
    errors = exc.errors()
    first = errors[0] if errors else {"loc": (), "msg": "it is invalid"}
    where = ".".join(str(one) for one in first["loc"])
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}"[:500], code="bad-parameter"
    )


def _login_address(scope: Scope) -> str:
    """Where to log in. It leads back to a page only: what was sent cannot be sent again from there,
    which is said.
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
