"""`Retries`: bounded, jittered, and only for what may succeed later."""

import pytest

from iraas.backends.aws.retries import Retries, RetryableError
from iraas.errors import BackendUnavailableError


def test_it_tries_until_it_succeeds() -> None:
    waits: list[float] = []
    left = [RetryableError("a"), RetryableError("b")]

    def act() -> str:
        if left:
            raise left.pop()
        return "done"

    assert Retries(attempts=3, sleep=waits.append).run(act) == "done"
    assert len(waits) == 2


def test_it_gives_up_after_so_many_tries_with_the_last_error() -> None:
    tries: list[int] = []

    def act() -> None:
        tries.append(1)
        raise RetryableError(f"try {len(tries)}")

    with pytest.raises(BackendUnavailableError, match="try 4"):
        Retries(attempts=4, sleep=lambda _: None).run(act)


def test_any_other_error_ends_it_at_once() -> None:
    tries: list[int] = []

    def act() -> None:
        tries.append(1)
        raise BackendUnavailableError("the SDK has tried this already")

    with pytest.raises(BackendUnavailableError):
        Retries(sleep=lambda _: None).run(act)
    assert len(tries) == 1


def test_waits_are_jittered_and_never_longer_than_allowed() -> None:
    waits: list[float] = []

    def act() -> None:
        raise RetryableError("again")

    with pytest.raises(RetryableError):
        Retries(attempts=40, first_s=0.1, longest_s=5.0, sleep=waits.append).run(act)
    assert len(waits) == 39
    assert waits[0] <= 0.1
    assert max(waits) <= 5.0
    assert len(set(waits)) > 20
