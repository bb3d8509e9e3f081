"""Login and logout."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from iraas.web.http.bodies import read_small
from iraas.web.limits.clients import client_of
from iraas.web.pages.forms import MAX_FORM_BYTES, fields_of, read_form, safe_target, see, shared
from iraas.web.pages.templating import page
from iraas.web.security.authenticator import COOKIE, SESSION_S, session_of
from iraas.web.state import state_of

router = APIRouter(include_in_schema=False)


@router.get("/login")
async def login_page(
    request: Request,
    target: Annotated[str, Query(alias="next")] = "/",
    *,
    lost: Annotated[bool, Query()] = False,
) -> Response:
    """The login form; with open access, a redirect to the upload page."""
    if state_of(request).authenticator.is_open:
        return see("/")
    values = {"target": safe_target(target), "is_wrong": False, "is_lost": lost}
    return page("login", shared(request) | values)


@router.post("/login")
async def login(request: Request) -> Response:
    """Start a session."""
    state = state_of(request)
    fields = fields_of(await read_small(request, state, MAX_FORM_BYTES))
    target = safe_target(fields.get("next", "/"))
    client = client_of(request.scope)
    token = fields.get("token", "")
    if not state.failed_logins.check(client, lambda: state.authenticator.accepts(token)):
        values = shared(request) | {"target": target, "is_wrong": True, "is_lost": False}
        return page("login", values, status=HTTPStatus.FORBIDDEN)
    response = see(target)
    response.set_cookie(
        COOKIE,
        state.authenticator.new_session(),
        max_age=SESSION_S,
        httponly=True,
        samesite="lax",
        secure=(state.public_url or str(request.url)).startswith("https:"),
    )
    return response


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End the session, in this browser and for every copy of its cookie."""
    await read_form(request)
    session = session_of(request.scope)
    if session is not None:
        await state_of(request).revocations.revoke(session)
    response = see("/login")
    response.delete_cookie(COOKIE)
    return response
