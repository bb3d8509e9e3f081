"""Progress where there is no terminal: a line now and then."""

import re
from types import SimpleNamespace

import pytest

from iraas.cli.progress import LineProgress, Rate


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("iraas.cli.progress.time", SimpleNamespace(monotonic=made))
    return made


def test_a_line_comes_every_ten_seconds_and_no_oftener(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with LineProgress(1000, lambda: 3) as shown:
        for second in range(31):
            clock.now = float(second)
            shown.update(second * 20, failed=2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0] == "200 of 1,000 images, 20.0 images/s, about 40 s left, 3 workers, 2 failed"


def test_before_anything_is_done_no_time_is_promised(
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
