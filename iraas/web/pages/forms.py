"""What the pages share, and the forms on them: who may send one, and where it leads."""

from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from iraas.web.api.classify import context_of
from iraas.web.http.bodies import read_small
from iraas.web.problems import Problem
from iraas.web.security.authenticator import session_of

MAX_FORM_BYTES = 16_384


def shared(request: Request) -> dict[str, object]:
    """What every page shows."""
    context = context_of(request)
    session = session_of(request.scope)
    return {
        "deployment": context.deployment,
        "csrf": context.access.csrf_of(session),
        "has_sessions": not context.access.is_free,
        "is_inside": context.access.is_free or session is not None,
        "path": request.url.path,
    }


def check_form(request: Request, fields: dict[str, str]) -> None:
    """Refuse a form that no page of this session made.

    Raises:
        Problem: It was not.
    """
    access = context_of(request).access
    by_token = access.knows_bearer(request.headers.get("authorization", ""))
    if not by_token and not access.allows_form(session_of(request.scope), fields.get("csrf", "")):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "the form was not made by a page of this session",
            code="bad-csrf-token",
            remedy="Load the page again.",
        )


async def read_form(request: Request) -> dict[str, str]:
    """Read a small form and check that a page of this session made it.

    Raises:
        Problem: It was not, or it is too long.
    """
    fields = fields_of(await read_small(request, context_of(request), MAX_FORM_BYTES))
    check_form(request, fields)
    return fields


def safe_target(target: str) -> str:
    """A path of this very site, wherever somebody wants to be sent."""
    parts = urlsplit(target.replace("\\", "/"))
    is_ours = target.startswith("/") and not parts.scheme and not parts.netloc
    if not is_ours or parts.path.startswith("//"):
        return "/"
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def fields_of(body: bytes) -> dict[str, str]:
    """The fields of a small form."""
    try:
        found = parse_qs(body.decode("ascii", "replace"), max_num_fields=50)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


def see(path: str) -> Response:
    """Send the browser on, after a form."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)
