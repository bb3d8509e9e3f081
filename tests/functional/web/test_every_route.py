"""Access control of every route, for every kind of client.

The routes are those of the application itself: the operations of its OpenAPI document, and whatever
else its router answers. A new route is in here by itself, and must be closed unless it is named in
`PUBLIC`.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from starlette.routing import BaseRoute, Mount, Route

from iraas.backends.memory import MemoryBackend
from iraas.core.keys import revoked_session_key
from iraas.web.app import create_app
from iraas.web.security.authenticator import COOKIE, SESSION_S, Authenticator
from tests.functional.web.test_security_middleware import ONE, TOKEN
from tests.functional.web.web_process import DEPLOYMENT, WebProcess, start_web

PUBLIC = {
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/favicon.ico"),
    ("GET", "/static/iraas.css"),
}
"""The routes that answer without a token."""
MOUNTED = {"/static": "/static/iraas.css"}
"""A file of each mounted folder."""
PARAMETERS = {"index": "0", "ending": "json", "ticket": "0" * 26}
ANOTHER_TOKEN = "another horse another staple"


def routes() -> list[tuple[str, str]]:
    """Each method and path that the application answers."""
    app = create_app(MemoryBackend(), deployment=DEPLOYMENT, token=TOKEN)
    described = {
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    return sorted(described | set(_of_router(app.routes)))


def _of_router(found: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    for one in found:
        if isinstance(one, Route):
            for method in (one.methods or {"GET"}) - {"HEAD", "OPTIONS"}:
                yield method, prefix + one.path
        elif isinstance(one, Mount):
            yield "GET", MOUNTED[prefix + one.path]
        else:  # FastAPI's mark of a router that was included; of anything else there is none
            yield from _of_router(vars(one)["original_router"].routes, prefix)


@dataclass(frozen=True)
class Site:
    """A running server, one of its jobs, and the credentials of each kind of client."""

    web: WebProcess
    job_id: str
    cookies: dict[str, str]
    csrf: str

    def ask(self, method: str, path: str, headers: dict[str, str]) -> int:
        """The status of an answer, whose body may never end."""
        filled = path.format(job_id=self.job_id, **PARAMETERS)
        with self.web.client.stream(method, filled, headers=headers) as answer:
            return answer.status_code


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    backend = MemoryBackend()
    web = start_web(backend, token=TOKEN)
    made = web.client.post(
        "/api/v1/jobs", files=ONE, headers={"authorization": f"Bearer {TOKEN}"}
    ).json()
    access = Authenticator(TOKEN, time.time, DEPLOYMENT)
    valid = access.new_session()
    session = access.find_session(valid)
    over = Authenticator(TOKEN, lambda: time.time() - SESSION_S - 60, DEPLOYMENT).new_session()
    gone = access.new_session()
    logged_out = access.find_session(gone)
    assert session is not None
    assert logged_out is not None
    backend.records.put(revoked_session_key(logged_out.ends_at, logged_out.identity), b"")
    csrf = access.csrf_of(session)
    identity, signed_at, _ = valid.split(".")
    cookies = {
        "none": "",
        "forged": f"{identity}.{signed_at}.{'A' * 43}",
        "forged from a CSRF token": f"{identity}.{signed_at}.{csrf}",
        "of the old format": f"csrf a.9999999999.{csrf}",
        "expired": over,
        "logged out": gone,
        "of another token": Authenticator(ANOTHER_TOKEN, time.time, DEPLOYMENT).new_session(),
        "of another deployment": Authenticator(TOKEN, time.time, "another").new_session(),
        "valid": valid,
    }
    yield Site(web, made["job_id"], cookies, csrf)
    web.stop()


STRANGERS = (
    "none",
    "forged",
    "forged from a CSRF token",
    "of the old format",
    "expired",
    "logged out",
    "of another token",
    "of another deployment",
)


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize(("method", "path"), routes())
def test_a_stranger_gets_nothing_but_what_is_public(
    site: Site, method: str, path: str, who: str
) -> None:
    cookie = site.cookies[who]
    headers = {"cookie": f'{COOKIE}="{cookie}"'} if cookie else {}
    for more in ({}, {"x-csrf-token": site.csrf}):
        status = site.ask(method, path, headers | more)
        if (method, path) in PUBLIC:
            assert status != 401, (method, path)
        else:
            assert status == 401, (method, path)


@pytest.mark.parametrize(("method", "path"), [one for one in routes() if one not in PUBLIC])
def test_a_wrong_bearer_is_a_stranger(site: Site, method: str, path: str) -> None:
    # Not through the site's own client: who is wrong too often is not heard, which is 429.
    status = site.ask(method, path, {"authorization": "Bearer wrong"})
    assert status in {401, 429}, (method, path)


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_session_can_read_but_change_nothing_without_its_csrf_token(
    site: Site, method: str, path: str
) -> None:
    headers = {"cookie": f"{COOKIE}={site.cookies['valid']}"}
    status = site.ask(method, path, headers)
    if (method, path) in PUBLIC:
        assert status != 401
    elif method == "GET":
        assert status not in {401, 403}, (method, path)
        assert status < 500
    elif path == "/upload":
        assert status == 415  # no form at all: nothing was read of it
    else:
        assert status == 403, (method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [one for one in routes() if one[1].startswith("/api/") or one == ("POST", "/")],
)
def test_a_session_with_its_csrf_token_and_a_bearer_are_authorized(
    site: Site, method: str, path: str
) -> None:
    session = {"cookie": f"{COOKIE}={site.cookies['valid']}", "x-csrf-token": site.csrf}
    for headers in (session, {"authorization": f"Bearer {TOKEN}"}):
        status = site.ask(method, path, headers)
        assert status not in {401, 403}, (method, path)
        assert status < 500


def test_public_routes_answer() -> None:
    assert set(routes()) >= PUBLIC


def test_every_kind_of_route_is_tested() -> None:
    found = set(routes())
    for one in (
        ("GET", "/dashboard"),
        ("POST", "/logout"),
        ("POST", "/api/v1/classify"),
        ("GET", "/api/v1/openapi.json"),
        ("GET", "/api/v1/jobs/{job_id}/events"),
        ("GET", "/metrics"),
    ):
        assert one in found


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere", "/admin", "/docs/x"])
def test_unknown_paths_are_401_for_strangers(site: Site, path: str) -> None:
    assert httpx2.get(f"{site.web.url}{path}").status_code == 401
