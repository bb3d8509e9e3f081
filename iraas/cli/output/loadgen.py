"""The progress, the result and the histogram of a run of the workload generator, for people."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from iraas.cli.output.progress import LINE_EVERY_S
from iraas.cli.output.render import cell
from iraas.core.latencies import HistogramBucket
from iraas.loadgen.aggregation import Summary
from iraas.loadgen.plan import LoadPlan
from iraas.loadgen.session import RunProgress

BAR_WIDTH = 40
LATE_FROM_S = 0.1
"""The delay of sending from which on it is part of the result."""
FOUR_DIGITS_S = 1000


class LoadProgress:
    """The progress of a run, on stderr: a bar on a terminal, a line every ten seconds elsewhere.

    The bar is drawn only when `show` is called: drawing takes CPU from what is measured.
    """

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._console = Console(stderr=True)
        self._printed_at_s = 0.0
        self._last: RunProgress | None = None
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
            auto_refresh=False,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=plan.requests or plan.duration_s)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, moment: RunProgress) -> None:
        """Show the progress of a moment."""
        text = self._text(moment)
        self._last = moment
        if self._console.is_terminal:
            ended = moment.succeeded + moment.failed
            done = ended if self._plan.requests else moment.elapsed_s
            self._progress.update(self._task, completed=done, description=text, refresh=True)
        elif moment.elapsed_s - self._printed_at_s >= LINE_EVERY_S:
            self._printed_at_s = moment.elapsed_s
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def _text(self, moment: RunProgress) -> str:
        before_s, before = (self._last.elapsed_s, self._last.succeeded) if self._last else (0.0, 0)
        rate = (moment.succeeded - before) / max(moment.elapsed_s - before_s, 1e-3)
        ended = moment.succeeded + moment.failed
        of = f" of {self._plan.requests:,}" if self._plan.requests else ""
        parts = [
            f"{moment.elapsed_s:.0f} s",
            f"{ended:,}{of} answered",
            f"{moment.sent - ended:,} in flight",
            f"{rate:.1f} images/s",
            f"{moment.failed:,} failed",
        ]
        if moment.retries:
            parts.append(f"{moment.retries:,} turned away")
        if moment.workers is not None:
            parts.append(f"{moment.workers} workers")
        return ", ".join(parts)


def print_result(summary: Summary) -> None:
    """Print the table and the histogram, on stdout."""
    console = Console()
    console.print(result_table(summary))
    for line in histogram_lines(summary.histogram):
        console.print(line, markup=False, highlight=False)


def result_table(summary: Summary) -> Table:
    """The figures of a run."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(overflow="fold", style="dim")
    table.add_row("sent", f"{summary.sent:,}")
    table.add_row("succeeded", f"{summary.succeeded:,}")
    table.add_row("failed", f"{summary.failed:,}")
    for kind, count in sorted(summary.failures.items()):
        table.add_row(f"  {kind}", f"{count:,}", cell(summary.reasons.get(kind, ""))[:160])
    if summary.unfinished:
        table.add_row("unfinished", f"{summary.unfinished:,}", "abandoned when the run ended")
    if summary.retries:
        table.add_row("turned away", f"{summary.retries:,}", "429, sent again")
    if summary.right is not None:
        table.add_row("right", f"{summary.right:,}")
        table.add_row("wrong", f"{summary.wrong:,}")
    table.add_row("total time", duration(summary.total_s))
    table.add_row("images/s", f"{summary.images_per_s:.1f}")
    _add_latencies(table, summary)
    if summary.first_result_s is not None:
        table.add_row("first result", duration(summary.first_result_s))
    if summary.fleet is None:
        table.add_row("workers", "unknown", "the deployment cannot be observed from here")
    else:
        table.add_row("most workers", f"{summary.fleet.most_workers:,}")
        table.add_row("worker-seconds", f"{summary.fleet.worker_seconds:,.1f}")
    table.add_row(
        "own cost", f"{summary.cpu_ms_per_request:.2f} ms", "CPU per request, of this command"
    )
    return table


def histogram_lines(bars: Sequence[HistogramBucket]) -> list[str]:
    """The latencies as bars of text."""
    if not bars:
        return []
    most = max(bar.count for bar in bars)
    names = [f"{duration(bar.from_s)} to {duration(bar.to_s)}" for bar in bars]
    width = max(map(len, names))
    return ["", "latency"] + [
        f"{name:>{width}}  {_bar(bar.count, most):<{BAR_WIDTH}} {bar.count:,}"
        for name, bar in zip(names, bars, strict=True)
    ]


def duration(seconds: float) -> str:
    """A duration for people, to three significant digits."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < FOUR_DIGITS_S else f"{seconds:,.0f} s"


def _add_latencies(table: Table, summary: Summary) -> None:
    latencies = summary.latencies
    if latencies is None:
        return
    for name in ("p50", "p90", "p95", "p99", "max"):
        table.add_row(name, duration(getattr(latencies, name)))
    if summary.late_s > LATE_FROM_S:
        table.add_row(
            "sent late by", duration(summary.late_s), "at most; it is part of the latencies"
        )


def _bar(count: int, most: int) -> str:
    """A bar drawn to an eighth of a character, and at least that long if the count is not 0."""
    eighths = max(1, round(8 * BAR_WIDTH * count / most)) if count else 0
    whole, part = divmod(eighths, 8)
    return "█" * whole + (" ▏▎▍▌▋▊▉"[part] if part else "")
