"""The output of a load run."""

from io import StringIO

import pytest
from rich.console import Console

from iraas.cli.output.loadgen import LoadProgress, duration, histogram_lines, result_table
from iraas.core.latencies import HistogramBucket
from iraas.loadgen.aggregation import Aggregator
from iraas.loadgen.plan import LoadPlan
from iraas.loadgen.results import Failure, Measurement, RequestResult
from iraas.loadgen.session import RunProgress


def shown(*answers: RequestResult) -> str:
    aggregator = Aggregator()
    for answer in answers:
        aggregator.add(Measurement(0, "a.jpg", "cat", 0.0, 0.0, 0.25, answer))
    summary = aggregator.summary(sent=len(answers) + 1, labelled=True, samples=[], cpu_s=0.01)
    console = Console(file=StringIO(), width=120)
    console.print(result_table(summary))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_table_says_how_many_failed_how_and_why() -> None:
    text = shown(
        RequestResult(label="cat"),
        RequestResult(failure=Failure.SERVER, reason="503: [red]\x1b[31m"),
    )

    words = [line.split() for line in text.splitlines()]
    assert ["succeeded", "1"] in words
    assert ["failed", "1"] in words
    assert ["server", "error", "1", "503:", "[red]\\x1b[31m"] in words
    assert ["right", "1"] in words
    assert ["unfinished", "1", "abandoned", "when", "the", "run", "ended"] in words
    assert ["p99", "250", "ms"] in words


def test_the_table_says_so_when_the_workers_are_unknown() -> None:
    assert "cannot be observed" in shown(RequestResult(label="cat"))


def test_bars_are_as_long_as_their_counts_and_a_single_one_is_seen() -> None:
    lines = histogram_lines(
        [
            HistogramBucket(0.1, 0.2, 8000),
            HistogramBucket(0.2, 0.3, 4000),
            HistogramBucket(0.3, 0.4, 1),
        ]
    )

    assert [line.count("█") for line in lines[2:]] == [40, 20, 0]
    assert "▏" in lines[4]
    assert lines[2].startswith("100 ms to 200 ms")


def test_no_latencies_make_no_histogram() -> None:
    assert histogram_lines([]) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.00123, "1.23 ms"), (0.25, "250 ms"), (1.5, "1.5 s"), (12345.6, "12,346 s")],
)
def test_times_have_three_significant_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_without_a_terminal_progress_is_a_line_every_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with LoadProgress(LoadPlan(100, None, 4, 60)) as progress:
        for tick in range(41):
            progress.show(RunProgress(tick / 2, 2 * tick + 4, tick, tick, 3, 2))

    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "10 s, 40 of 100 answered, 4 in flight, 2.0 images/s, 20 failed, 3 turned away, 2 workers",
        "20 s, 80 of 100 answered, 4 in flight, 2.0 images/s, 40 failed, 3 turned away, 2 workers",
    ]
