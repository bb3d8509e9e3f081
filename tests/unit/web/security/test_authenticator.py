"""Tokens, sessions and forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.web.security.authenticator import SESSION_S, Authenticator
from tests.fakes.clock import Clock

TOKEN = "sesame"


def test_a_bearer_is_known_by_the_token_alone() -> None:
    access = Authenticator(TOKEN, Clock())
    assert access.accepts_bearer("Bearer sesame")
    assert access.accepts_bearer("bearer  sesame ")
    for wrong in ("", "Bearer", "Bearer ", "Basic sesame", "sesame", "Bearer sesame2", "Bearer é"):
        assert not access.accepts_bearer(wrong), wrong


def test_without_a_token_nothing_is_the_token() -> None:
    access = Authenticator(None, Clock())
    assert access.is_open
    assert not access.accepts("")
    assert access.csrf_of(None) == ""
    assert access.allows_form(None, "")


def test_a_session_ends_with_its_time_and_with_its_token() -> None:
    clock = Clock()
    access = Authenticator(TOKEN, clock)
    session = access.new_session()
    assert access.find_session(session)
    assert Authenticator(TOKEN, clock).find_session(session)  # another process, or after a restart
    assert not Authenticator("another", clock).find_session(session)
    assert not Authenticator(TOKEN, clock, "another deployment").find_session(session)
    assert not Authenticator(None, clock).find_session(session)
    clock.advance(SESSION_S + 1)
    assert not access.find_session(session)


def test_a_session_from_the_future_is_invalid() -> None:
    clock = Clock()
    session = Authenticator(TOKEN, clock).new_session()
    clock.advance(-60)
    assert not Authenticator(TOKEN, clock).find_session(session)


def test_a_session_cannot_be_changed() -> None:
    access = Authenticator(TOKEN, Clock())
    session = access.new_session()
    identity, time, signature = session.split(".")
    later = "zzzzzz"
    for changed in (
        f"{identity}.{later}.{signature}",
        f"{identity}.{time}.{'A' * 43}",
        f"{'0' * 32}.{time}.{signature}",
        f"{session}=",
        f" {session}",
        f"{session}\n",
        f"{identity}x.{time}.{signature}",
        f"csrf {session}",
        f"{session}.{access.csrf_of(access.find_session(session))}",
    ):
        assert not access.find_session(changed), changed


@given(st.text(max_size=60))
def test_no_other_text_is_a_session(text: str) -> None:
    assert not Authenticator(TOKEN, Clock()).find_session(text)


def test_a_signature_for_one_purpose_is_invalid_for_any_other() -> None:
    """The forgery that once worked: a CSRF token, which any page shows, as a session's end."""
    access = Authenticator(TOKEN, Clock())
    session = access.find_session(access.new_session())
    assert session is not None
    csrf = access.csrf_of(session)
    for cookie in (
        f"{session.identity}.{csrf}",
        f"csrf {session.identity}.9999999999.{csrf}",
        f"{session.identity}.aRhlgg.{csrf}",
    ):
        assert not access.find_session(cookie)
    signature = access.new_session().rpartition(".")[2]
    assert not access.allows_form(session, signature)


def test_a_form_belongs_to_its_session() -> None:
    access = Authenticator(TOKEN, Clock())
    mine, other = (access.find_session(access.new_session()) for _ in range(2))
    assert access.allows_form(mine, access.csrf_of(mine))
    assert not access.allows_form(mine, access.csrf_of(other))
    for wrong in ("", "é", "\ud800", access.csrf_of(mine) + "=", access.csrf_of(mine)[:-1]):
        assert not access.allows_form(mine, wrong)


def test_without_a_session_there_is_no_csrf_token_and_no_form() -> None:
    access = Authenticator(TOKEN, Clock())
    assert access.csrf_of(None) == ""
    assert not access.allows_form(None, "")


@pytest.mark.parametrize("token", ["ü", "a b", "\ud800"])
def test_any_text_can_be_a_token(token: str) -> None:
    access = Authenticator(token, Clock())
    assert access.accepts(token)
    sent = token.encode("utf-8", "surrogatepass").decode("latin-1")
    assert access.accepts_bearer(f"Bearer {sent}") == token.isprintable()
    assert access.find_session(access.new_session())
