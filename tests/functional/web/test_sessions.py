"""Sessions over HTTP: only the token creates one, and its end is final."""

import re
import time
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from iraas.backends.local.backend import LocalBackend
from iraas.backends.memory import MemoryBackend
from iraas.core.keys import REVOKED_SESSIONS
from iraas.errors import BackendUnavailableError
from iraas.web.security.authenticator import COOKIE, SESSION_S, Authenticator
from tests.functional.web.test_security_middleware import ONE, TOKEN, log_in
from tests.functional.web.web_process import DEPLOYMENT, Serve, WebProcess
from tests.waiting import wait_until

STATUS = "/api/v1/status"
TEXTS_OF_THE_PAGE = re.compile(r"""(?:value|content)="([^"]+)\"""")


def status_with(web: WebProcess, cookie: str) -> int:
    return httpx2.get(f"{web.url}{STATUS}", headers={"cookie": f"{COOKIE}={cookie}"}).status_code


def test_the_login_page_signs_nothing_that_it_was_sent(serve: Serve) -> None:
    web = serve(token=TOKEN)
    sent = "a.9999999999"
    page = httpx2.get(f"{web.url}/login", headers={"cookie": f"{COOKIE}={sent}"})
    assert "csrf-token" not in page.text
    for text in TEXTS_OF_THE_PAGE.findall(page.text):
        assert status_with(web, f'"csrf {sent}.{text}"') == 401
        assert status_with(web, f"{sent}.{text}") == 401


def test_a_csrf_token_is_no_session(serve: Serve) -> None:
    web = serve(token=TOKEN)
    csrf = log_in(web)
    session = web.client.cookies[COOKIE]
    for forged in (csrf, f"{session}.{csrf}", f"{session.rpartition('.')[0]}.{csrf}"):
        assert status_with(web, forged) == 401
    assert status_with(web, session) == 200


def test_a_csrf_token_is_given_to_a_known_session_only(serve: Serve) -> None:
    web = serve(token=TOKEN)
    headers = {"authorization": f"Bearer {TOKEN}", "cookie": f"{COOKIE}=a.9999999999"}
    for path in ("/", "/dashboard", "/docs", "/nowhere"):
        page = httpx2.get(f"{web.url}{path}", headers=headers | {"accept": "text/html"})
        assert "csrf-token" not in page.text, path


def test_a_session_is_over_after_twelve_hours_whatever_the_browser_keeps(serve: Serve) -> None:
    web = serve(token=TOKEN)
    just_over = Authenticator(TOKEN, lambda: time.time() - SESSION_S - 5, DEPLOYMENT).new_session()
    nearly_over = Authenticator(
        TOKEN, lambda: time.time() - SESSION_S + 600, DEPLOYMENT
    ).new_session()
    from_tomorrow = Authenticator(TOKEN, lambda: time.time() + 86_400, DEPLOYMENT).new_session()
    found = [status_with(web, one) for one in (just_over, nearly_over, from_tomorrow)]
    assert found == [401, 200, 401]


def test_a_session_of_another_deployment_is_invalid(serve: Serve) -> None:
    web = serve(token=TOKEN)
    assert status_with(web, Authenticator(TOKEN, time.time, "another-shop").new_session()) == 401


def test_a_session_ends_at_the_logout_and_stays_ended_after_a_restart(
    serve: Serve, backend: MemoryBackend
) -> None:
    web = serve(token=TOKEN)
    csrf = log_in(web)
    session = web.client.cookies[COOKIE]
    assert status_with(web, session) == 200
    assert web.client.post("/logout", data={"csrf": csrf}).status_code == 303
    assert status_with(web, session) == 401
    again = serve(on=backend, token=TOKEN)
    assert status_with(again, session) == 401
    log_in(web)  # another session, of the same user or not
    assert web.client.get(STATUS).status_code == 200


def test_a_logout_reaches_the_other_web_processes(serve: Serve, tmp_path: Path) -> None:
    backends = [LocalBackend(tmp_path / "home", DEPLOYMENT) for _ in range(2)]
    with closing(backends[0]) as one, closing(backends[1]) as two:
        first, second = serve(on=one, token=TOKEN), serve(on=two, token=TOKEN)
        csrf = log_in(first)
        session = first.client.cookies[COOKIE]
        assert status_with(second, session) == 200
        assert first.client.post("/logout", data={"csrf": csrf}).status_code == 303
        wait_until(lambda: status_with(second, session) == 401)
        first.stop()
        second.stop()


def test_a_session_that_cannot_be_checked_is_refused(
    serve: Serve, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = serve(token=TOKEN)
    session = Authenticator(TOKEN, time.time, DEPLOYMENT).new_session()

    def away(*_: object, **__: object) -> None:
        raise BackendUnavailableError("the disk is gone")

    monkeypatch.setattr(backend.records, "list", away)
    assert status_with(web, session) == 503
    assert httpx2.get(f"{web.url}/login").status_code == 200
    assert status_with(web, "forged") == 401


def test_requests_with_the_token_do_not_check_sessions(
    serve: Serve, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = serve(token=TOKEN)
    asked: list[str] = []
    list_records = backend.records.list

    def noting(prefix: str = "", *, after: str = "") -> object:
        asked.append(prefix)
        return list_records(prefix, after=after)

    monkeypatch.setattr(backend.records, "list", noting)
    headers = {"authorization": f"Bearer {TOKEN}", "cookie": f"{COOKIE}=anything"}
    for _ in range(3):
        assert web.client.get("/docs", headers=headers).status_code == 200
    assert REVOKED_SESSIONS not in asked
    log_in(web)
    for _ in range(20):
        assert web.client.get("/docs").status_code == 200
    assert asked.count(REVOKED_SESSIONS) <= 4  # once every few seconds, not once a request


@pytest.mark.parametrize("path", ["/api/v1/status/events", "/api/v1/jobs/{}/events"])
def test_an_open_event_stream_ends_with_its_session(serve: Serve, path: str) -> None:
    web = serve(token=TOKEN)
    csrf = log_in(web)
    made = web.client.post("/api/v1/jobs", files=ONE, headers={"x-csrf-token": csrf}).json()
    with web.client.stream("GET", path.format(made["job_id"]), timeout=60) as stream:
        events = stream.iter_text()
        assert next(events).startswith("retry:")
        assert httpx2.post(
            f"{web.url}/logout", data={"csrf": csrf}, cookies=dict(web.client.cookies)
        ).is_redirect
        assert "event: end" not in "".join(events)  # it ends, although the job does not


def test_a_logout_without_the_csrf_token_is_refused(serve: Serve) -> None:
    web = serve(token=TOKEN)
    log_in(web)
    session = web.client.cookies[COOKIE]
    assert web.client.post("/logout", data={"csrf": "x"}).status_code == 403
    assert status_with(web, session) == 200
