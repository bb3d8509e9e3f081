"""Tokens, sessions and forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.web.access import SESSION_S, Access
from tests.unit.services.scripted import Clock

TOKEN = "sesame"


def test_a_bearer_is_known_by_the_token_alone() -> None:
    access = Access(TOKEN, Clock())
    assert access.knows_bearer("Bearer sesame")
    assert access.knows_bearer("bearer  sesame ")
    for wrong in ("", "Bearer", "Bearer ", "Basic sesame", "sesame", "Bearer sesame2", "Bearer é"):
        assert not access.knows_bearer(wrong), wrong


def test_without_a_token_nothing_is_the_token() -> None:
    access = Access(None, Clock())
    assert access.is_free
    assert not access.knows("")
    assert access.csrf_of("anything") == ""


def test_a_session_ends_with_its_time_and_with_its_token() -> None:
    clock = Clock()
    access = Access(TOKEN, clock)
    session = access.new_session()
    assert access.knows_session(session)
    assert Access(TOKEN, clock).knows_session(session)  # another process, or after a restart
    assert not Access("another", clock).knows_session(session)
    clock.advance(SESSION_S + 1)
    assert not access.knows_session(session)


def test_a_session_cannot_be_made_longer() -> None:
    access = Access(TOKEN, Clock())
    number, end, signature = access.new_session().split(".")
    assert not access.knows_session(f"{number}.{int(end) + 1}.{signature}")
    assert not access.knows_session(f"{number}.{end}.{'0' * 64}")


@given(st.text(max_size=60))
def test_no_other_text_is_a_session(text: str) -> None:
    assert not Access(TOKEN, Clock()).knows_session(text)


def test_a_form_belongs_to_its_session() -> None:
    access = Access(TOKEN, Clock())
    mine, other = access.new_session(), access.new_session()
    assert access.allows_form(mine, access.csrf_of(mine))
    assert not access.allows_form(mine, access.csrf_of(other))
    assert not access.allows_form(mine, "")


@pytest.mark.parametrize("token", ["ü", "a b", "\ud800"])
def test_any_text_can_be_a_token(token: str) -> None:
    access = Access(token, Clock())
    assert access.knows(token)
    sent = token.encode("utf-8", "surrogatepass").decode("latin-1")
    assert access.knows_bearer(f"Bearer {sent}") == token.isprintable()
    assert access.knows_session(access.new_session())
