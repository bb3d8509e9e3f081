"""Values shared by all pages, and the handling of their forms."""

from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from iraas.web.http.bodies import read_small
from iraas.web.problems import Problem
from iraas.web.security.authenticator import session_of
from iraas.web.state import state_of

MAX_FORM_BYTES = 16_384


def shared(request: Request) -> dict[str, object]:
    """Return the template values that every page needs."""
    state = state_of(request)
    session = session_of(request.scope)
    return {
        "deployment": state.deployment,
        "csrf": state.authenticator.csrf_of(session),
        "has_sessions": not state.authenticator.is_open,
        "is_inside": state.authenticator.is_open or session is not None,
        "path": request.url.path,
    }


def check_form(request: Request, fields: dict[str, str]) -> None:
    """Reject a form without the CSRF token of its session; programs authenticate by token.

    Args:
        request: The request.
        fields: The form's fields.

    Raises:
        Problem: The CSRF token is missing or wrong (403).
    """
    authenticator = state_of(request).authenticator
    by_token = authenticator.accepts_bearer(request.headers.get("authorization", ""))
    if not by_token and not authenticator.allows_form(
        session_of(request.scope), fields.get("csrf", "")
    ):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "the form was not made by a page of this session",
            code="bad-csrf-token",
            remedy="Load the page again.",
        )


async def read_form(request: Request) -> dict[str, str]:
    """Read a small form and check its CSRF token.

    Raises:
        Problem: The CSRF token is missing or wrong (403), or the form too long (413).
    """
    fields = fields_of(await read_small(request, state_of(request), MAX_FORM_BYTES))
    check_form(request, fields)
    return fields


def safe_target(target: str) -> str:
    """Restrict the target of a redirect to paths of this site."""
    parts = urlsplit(target.replace("\\", "/"))
    is_local = target.startswith("/") and not parts.scheme and not parts.netloc
    if not is_local or parts.path.startswith("//"):
        return "/"
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def fields_of(body: bytes) -> dict[str, str]:
    """Parse the fields of a small form; empty if it is malformed."""
    try:
        found = parse_qs(body.decode("ascii", "replace"), max_num_fields=50)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


def see(path: str) -> Response:
    """Redirect the browser after a form."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)
