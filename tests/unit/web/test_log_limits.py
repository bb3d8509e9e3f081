"""What clients can make a server log."""

import logging

from iraas.web.log_limits import WINDOW_S, OncePerWindow


def record(line: int, at: float, level: int = logging.WARNING) -> logging.LogRecord:
    made = logging.LogRecord("lib", level, "parser.py", line, "no boundary at %d", (line,), None)
    made.created = at
    return made


def test_one_warning_of_each_place_passes_in_a_minute_and_tells_how_many_there_were() -> None:
    limit = OncePerWindow()
    assert limit.filter(record(1, at=0.0))
    assert not any(limit.filter(record(1, at=float(second))) for second in range(1, 60))
    assert limit.filter(record(2, at=1.0))
    again = record(1, at=WINDOW_S)
    assert limit.filter(again)
    assert again.getMessage() == "no boundary at 1 (and 59 more like it)"
    assert not limit.filter(record(1, at=WINDOW_S + 1))


def test_errors_always_pass() -> None:
    limit = OncePerWindow()
    assert all(limit.filter(record(1, 0.0, logging.ERROR)) for _ in range(3))
