"""Logging in and out."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from iraas.web.api.classify import context_of
from iraas.web.http.bodies import read_small
from iraas.web.limits.clients import client_of
from iraas.web.pages.forms import MAX_FORM_BYTES, fields_of, read_form, safe_target, see, shared
from iraas.web.pages.templating import page
from iraas.web.security.authenticator import COOKIE, SESSION_S, session_of

router = APIRouter(include_in_schema=False)


@router.get("/login")
async def login_page(
    request: Request,
    target: Annotated[str, Query(alias="next")] = "/",
    *,
    lost: Annotated[bool, Query()] = False,
) -> Response:
    """Where a browser gives the token. There is nothing to be given where there is none."""
    if context_of(request).access.is_free:
        return see("/")
    values = {"target": safe_target(target), "is_wrong": False, "is_lost": lost}
    return page("login", shared(request) | values)


@router.post("/login")
async def login(request: Request) -> Response:
    """Begin a session."""
    context = context_of(request)
    fields = fields_of(await read_small(request, context, MAX_FORM_BYTES))
    target = safe_target(fields.get("next", "/"))
    client = client_of(request.scope)
    token = fields.get("token", "")
    if not context.token_tries.hear(client, lambda: context.access.knows(token)):
        values = shared(request) | {"target": target, "is_wrong": True, "is_lost": False}
        return page("login", values, status=HTTPStatus.FORBIDDEN)
    response = see(target)
    response.set_cookie(
        COOKIE,
        context.access.new_session(),
        max_age=SESSION_S,
        httponly=True,
        samesite="lax",
        secure=(context.public_url or str(request.url)).startswith("https:"),
    )
    return response


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End the session, in this browser and wherever else its cookie may be."""
    await read_form(request)
    session = session_of(request.scope)
    if session is not None:
        await context_of(request).revocations.revoke(session)
    response = see("/login")
    response.delete_cookie(COOKIE)
    return response
