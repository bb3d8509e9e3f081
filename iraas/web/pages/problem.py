"""Error pages for people who do not know HTTP."""

from http import HTTPStatus

from fastapi import Request
from starlette.responses import Response

from iraas.web.pages.forms import shared
from iraas.web.pages.templating import page
from iraas.web.problems import Problem

TITLES: dict[int, str] = {
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.NOT_FOUND: "Page not found",
    HTTPStatus.METHOD_NOT_ALLOWED: "Not a page",
    HTTPStatus.CONFLICT: "No longer possible",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Too large",
    HTTPStatus.REQUEST_TIMEOUT: "Timed out",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Invalid request",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Internal error",
    HTTPStatus.SERVICE_UNAVAILABLE: "Temporarily unavailable",
}
OTHER_TITLE = "Request failed"
REMEDIES: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "Check that the address is complete. The page may have been deleted.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address only accepts a form. Open the page with the form.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Try again. The reason is in the server's log.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Try again in a moment. Nothing that was accepted is lost.",
}
DETAILS: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "No page has this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address is not a page.",
}
"""Replaces a detail that only repeats the name of the status."""


def problem_page(problem: Problem, request: Request) -> Response:
    """Render a problem as a page: what happened, and what to do next."""
    status = problem.status
    phrase = HTTPStatus(status).phrase
    is_bare = problem.detail.rstrip(".") == phrase
    values: dict[str, object] = {
        "title": TITLES.get(status, OTHER_TITLE),
        "status": status,
        "detail": DETAILS.get(status, problem.detail) if is_bare else problem.detail,
        "remedy": problem.remedy or REMEDIES.get(status, ""),
        "url": problem.extra.get("url", ""),
    }
    return page("problem", shared(request) | values, status=status, headers=problem.headers)
