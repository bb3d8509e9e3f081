"""Progress of a job: a bar on a terminal, a line every ten seconds elsewhere. Always on stderr."""

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from iraas.cli.output.pluralize import pluralize

LINE_EVERY_S = 10.0
WORKERS_EVERY_S = 1.0
RATE_OVER_S = 5.0
POINTS_OF_A_RATE = 2


class ProgressReporter(Protocol):
    """Shows the progress of a job."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def update(self, done: int, failed: int) -> None:
        """Show these counts. Cheap enough to be called for each image."""
        ...

    def start_from(self, done: int) -> None:
        """Measure the rate from here on: `done` images were done before."""
        ...

    def show_message(self, text: str) -> None:
        """Show a line for a person."""
        ...


class Rate:
    """The rate over the last seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._points: deque[tuple[float, int]] = deque([(now(), 0)])

    def start_from(self, done: int) -> None:
        """Measure from here on: `done` images are done."""
        self._points = deque([(self._now(), done)])

    def __call__(self, done: int) -> float:
        """The images per second, given the number that is done now."""
        at = self._now()
        if at - self._points[-1][0] > RATE_OVER_S / 20:
            self._points.append((at, done))
        while len(self._points) > POINTS_OF_A_RATE and at - self._points[1][0] > RATE_OVER_S:
            self._points.popleft()
        then, before = self._points[0]
        return (done - before) / (at - then) if at > then else 0.0


class BarProgress:
    """A bar with images done, images/s, time left, workers and failures."""

    def __init__(
        self, console: Console, total: int, workers: Callable[[], int], *, sending: bool = False
    ) -> None:
        self._workers = workers
        self._counted_at = 0.0
        self._rate = Rate(time.monotonic)
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn(f"{{task.fields[rate]:.1f}} {'sent' if sending else 'images'}/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[workers]}"),
            TextColumn("{task.fields[failed]} failed"),
            console=console,
            transient=True,
            refresh_per_second=5,
        )
        self._task: TaskID = self._progress.add_task(
            "", total=total, rate=0.0, workers="0 workers", failed=0
        )

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

    def update(self, done: int, failed: int) -> None:
        """Show these counts."""
        now = time.monotonic()
        if now - self._counted_at > WORKERS_EVERY_S:
            self._counted_at = now
            self._progress.update(self._task, workers=pluralize(self._workers(), "worker"))
        self._progress.update(self._task, completed=done, failed=failed, rate=self._rate(done))

    def start_from(self, done: int) -> None:
        """Measure the rate and the time left from here on."""
        self._rate.start_from(done)
        self._progress.reset(self._task, completed=done)

    def show_message(self, text: str) -> None:
        """Show a line for a person above the bar."""
        self._progress.console.print(text, markup=False, highlight=False)


class LineProgress:
    """A line on stderr every ten seconds, for logs."""

    def __init__(self, total: int, workers: Callable[[], int], *, sending: bool = False) -> None:
        self._total = total
        self._sending = sending
        self._workers = workers
        self._rate = Rate(time.monotonic)
        self._printed_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def update(self, done: int, failed: int) -> None:
        """Print these counts if the last line is ten seconds old."""
        rate = self._rate(done)
        now = time.monotonic()
        if now - self._printed_at >= LINE_EVERY_S:
            self._printed_at = now
            left = f", about {(self._total - done) / rate:.0f} s left" if rate else ""
            self.show_message(
                f"{done:,} of {pluralize(self._total, 'image')}{' sent' if self._sending else ''}, "
                f"{rate:.1f} {'sent' if self._sending else 'images'}/s{left}, "
                f"{pluralize(self._workers(), 'worker')}, {failed:,} failed"
            )

    def start_from(self, done: int) -> None:
        """Measure the rate and the time left from here on."""
        self._rate.start_from(done)

    def show_message(self, text: str) -> None:
        """Print a line for a person."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def job_progress(
    total: int, workers: Callable[[], int], *, sending: bool = False
) -> ProgressReporter:
    """The progress reporter that suits stderr: a bar on a terminal, lines elsewhere.

    Args:
        total: The job's images.
        workers: Returns the number of workers.
        sending: Whether images count when they are sent instead of when they are done.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        return BarProgress(console, total, workers, sending=sending)
    return LineProgress(total, workers, sending=sending)
