"""Progress without a terminal: periodic lines."""

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from iraas.cli.output.progress import BarProgress, LineProgress, Rate
from tests.fakes.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(0.0)
    monkeypatch.setattr("iraas.cli.output.progress.time", SimpleNamespace(monotonic=made))
    return made


def test_a_line_is_printed_every_ten_seconds_at_most(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with LineProgress(1000, lambda: 3) as shown:
        for second in range(31):
            clock.now = float(second)
            shown.update(second * 20, failed=2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0] == "200 of 1,000 images, 20.0 images/s, about 40 s left, 3 workers, 2 failed"


def test_before_anything_is_done_no_remaining_time_is_estimated(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with LineProgress(1000, lambda: 0) as shown:
        clock.now = 10.0
        shown.update(0, failed=0)
    line = capsys.readouterr().err
    assert re.fullmatch(r"0 of 1,000 images, 0\.0 images/s, 0 workers, 0 failed\n", line)


def test_the_rate_is_that_of_the_last_seconds(clock: Clock) -> None:
    rate = Rate(clock)
    for tenth in range(100):
        clock.now = tenth / 10
        rate(tenth)
    assert rate(99) == pytest.approx(10.0, rel=0.05)
    for tenth in range(100, 200):
        clock.now = tenth / 10
        rate(99)
    assert rate(99) == 0.0


def test_outcomes_stored_before_do_not_count_in_the_rate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with LineProgress(600, lambda: 1) as shown:
        clock.now = 1.0
        shown.update(500, failed=0)
        shown.start_from(500)
        for second in range(2, 12):
            clock.now = float(second)
            shown.update(500 + 2 * (second - 1), failed=0)
    line = capsys.readouterr().err
    assert line.startswith("518 of 600 images, 2.0 images/s, about 41 s left, 1 worker,")


def test_the_rate_of_a_bar_excludes_outcomes_stored_before(clock: Clock) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with BarProgress(console, 600, lambda: 1) as shown:
        clock.now = 1.0
        shown.update(500, failed=0)
        shown.start_from(500)
        clock.now = 11.0
        shown.update(520, failed=0)
    assert "2.0 images/s" in out.getvalue()
    assert "520/600" in out.getvalue()
    assert "1 worker " in out.getvalue()


def test_images_that_are_only_sent_are_shown_as_sent(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with LineProgress(1000, lambda: 0, sending=True) as shown:
        clock.now = 10.0
        shown.update(100, failed=0)
    assert capsys.readouterr().err.startswith("100 of 1,000 images sent, 10.0 sent/s, about 90 s")
