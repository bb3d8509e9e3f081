"""Problems as pages, in the words of people who do not speak HTTP."""

from http import HTTPStatus

from fastapi import Request
from starlette.responses import Response

from iraas.web.pages.forms import shared
from iraas.web.pages.templating import page
from iraas.web.problems import Problem

TITLES: dict[int, str] = {
    HTTPStatus.FORBIDDEN: "This was not done",
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.METHOD_NOT_ALLOWED: "There is nothing to see here",
    HTTPStatus.CONFLICT: "This cannot be done any more",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "That is too much at once",
    HTTPStatus.REQUEST_TIMEOUT: "That took too long",
    HTTPStatus.UNPROCESSABLE_ENTITY: "That does not work",
    HTTPStatus.TOO_MANY_REQUESTS: "Too much is going on",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong here",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not to be had at the moment",
}
OTHER_TITLE = "That did not work"
REMEDIES: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "Is the address complete? Somebody may have removed what was here.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address only takes a form. Go to the page that it is on.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Try it again. The reason is in the log of who runs this.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Try it again in a moment: nothing that was accepted is lost.",
}
DETAILS: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "No page has this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address is not a page.",
}
"""Instead of what only names the status."""


def problem_page(problem: Problem, request: Request) -> Response:
    """A problem for somebody with a browser: what happened, and what to do."""
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
