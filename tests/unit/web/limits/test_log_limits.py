"""Limits on the log output that clients can cause."""

import logging

import pytest

from iraas.web.limits.log_limits import WINDOW_S, OncePerWindow


def record(line: int, at: float, level: int = logging.WARNING) -> logging.LogRecord:
    made = logging.LogRecord("lib", level, "parser.py", line, "no boundary at %d", (line,), None)
    made.created = at
    return made


def test_one_warning_per_location_passes_each_minute_with_a_count() -> None:
    limit = OncePerWindow()
    assert limit.filter(record(1, at=0.0))
    assert not any(limit.filter(record(1, at=float(second))) for second in range(1, 60))
    assert limit.filter(record(2, at=1.0))
    again = record(1, at=WINDOW_S)
    assert limit.filter(again)
    assert again.getMessage() == "no boundary at 1 (and 59 more like it)"
    assert not limit.filter(record(1, at=WINDOW_S + 1))


def failure(kind: type[Exception], at: float) -> logging.LogRecord:
    made = record(1, at, logging.ERROR)
    with pytest.raises(kind) as caught:
        raise kind
    made.exc_info = (caught.type, caught.value, caught.tb)
    return made


def other_failure(at: float) -> logging.LogRecord:
    made = record(1, at, logging.ERROR)
    with pytest.raises(ValueError, match="x") as caught:
        int("x")
    made.exc_info = (caught.type, caught.value, caught.tb)
    return made


def test_errors_are_counted_by_the_location_that_raised_them() -> None:
    limit = OncePerWindow()
    assert limit.filter(failure(ValueError, at=0.0))
    assert not limit.filter(failure(ValueError, at=1.0))
    assert limit.filter(other_failure(at=2.0))
    assert limit.filter(failure(ValueError, at=WINDOW_S))


def test_messages_below_warning_always_pass() -> None:
    limit = OncePerWindow()
    assert all(limit.filter(record(1, 0.0, logging.INFO)) for _ in range(3))
