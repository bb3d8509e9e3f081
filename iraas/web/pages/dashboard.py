"""The content of the dashboard."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise

from markupsafe import Markup

from iraas.core.charts import Panel, Point, Series, step_chart
from iraas.core.jobs import SHARED_SOURCE
from iraas.core.records import ScalingDecision
from iraas.monitoring.history import Sample, sample_of
from iraas.monitoring.job_progress import JobSummary
from iraas.monitoring.recent import recent_decisions, recent_jobs
from iraas.monitoring.status import Status
from iraas.web.state import AppState

DECISIONS_SHOWN = 12
DECISIONS_READ = 3 * DECISIONS_SHOWN
JOBS_SHOWN = 12
STATUS_AGE_S = 2.0
SPANS_S = {"15m": 900.0, "1h": 3600.0, "6h": 21_600.0, "24h": 86_400.0}
SPAN_NAMES = {"15m": "15 min", "1h": "1 h", "6h": "6 h", "24h": "24 h"}
DEFAULT_SPAN = "15m"
STATES = {
    "running": ("running",),
    "starting": ("booting", "starting"),
    "leaving": ("draining", "stopping"),
}
SECONDS_PER_HOUR = 3600.0
MIN_RATE_WINDOW_S = 2.0
GAP_S = 900.0
"""Samples further apart are not connected: nothing sampled in between."""
CHART_WIDTH, CHART_HEIGHT = 380, 104
"""About the displayed size, on a phone and beside two other charts: the text stays readable."""


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A line of a chart in words: its name, its latest value and its highest one, if any."""

    name: str
    latest: float | None
    most: float | None


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, its title, and its lines in words."""

    title: str
    lines: tuple[ChartLine, ...]
    svg: Markup


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job on the dashboard, without its id: that gives access to the images.

    Attributes:
        ending: The last characters of its id, to tell jobs apart.
        summary: Its progress.
    """

    ending: str
    summary: JobSummary

    @property
    def state(self) -> str:
        """The job's state; ``rolling`` for a job of single requests, which is never complete."""
        is_shared = SHARED_SOURCE in self.summary.job.sources and not self.summary.job.sealed
        return "rolling" if is_shared else self.summary.state


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The content of the dashboard.

    Attributes:
        status: The current status of the deployment.
        charts: The history, up to now.
        images_per_s: Throughput of all workers over the last seconds.
        worker_hours: Worker hours in the displayed time.
        decisions: The controller's decisions, the latest first.
        jobs: Recent jobs, the latest first.
    """

    status: Status
    charts: tuple[Chart, ...]
    images_per_s: float
    worker_hours: float
    decisions: tuple[ScalingDecision, ...]
    jobs: tuple[JobLine, ...]


def make_dashboard(state: AppState, span_s: float) -> Dashboard:
    """Collect the content of the dashboard. Blocks.

    Args:
        state: The services.
        span_s: The displayed time, in seconds before now.

    Raises:
        BackendError: A part of the deployment does not respond.
    """
    backend, clock = state.backend, state.clock
    until = clock()
    status = state.status.latest(STATUS_AGE_S)
    samples = up_to_now(state.history.samples(until - span_s), sample_of(status))
    jobs = recent_jobs(backend, state.progress_cache, clock, count=JOBS_SHOWN)
    workers = [(sample.at, float(sum(sample.workers.values()))) for sample in samples]
    return Dashboard(
        status=status,
        charts=draw_charts(samples, (until - span_s, until)),
        images_per_s=samples[-1].images_per_s,
        worker_hours=area_under(workers) / SECONDS_PER_HOUR,
        decisions=merged(recent_decisions(backend, clock, count=DECISIONS_READ))[:DECISIONS_SHOWN],
        jobs=tuple(JobLine(job.job.job_id[-4:], job) for job in jobs),
    )


def merged(decisions: Sequence[ScalingDecision]) -> tuple[ScalingDecision, ...]:
    """Merge the decisions of each second, the latest first: the last reason, and all actions."""
    result: list[ScalingDecision] = []
    for decision in decisions:
        last = result[-1] if result else None
        if last is not None and int(last.at) == int(decision.at):
            removed = decision.removed | last.removed
            result[-1] = replace(last, launched=last.launched + decision.launched, removed=removed)
        else:
            result.append(decision)
    return tuple(result)


def up_to_now(samples: Sequence[Sample], now: Sample) -> list[Sample]:
    """Append the current state to the samples, so that charts end in the values shown beside them.

    Its rate is derived from counts like those of the samples; the rates that workers report lag
    behind.

    Args:
        samples: Samples of the past, the oldest first.
        now: The current state.
    """
    if not samples or now.at <= samples[-1].at:
        return [*samples] or [now]
    last = samples[-1]
    span_s = now.at - last.at
    if span_s < MIN_RATE_WINDOW_S:
        return [*samples, replace(now, images_per_s=last.images_per_s)]
    rate = round(max(0, now.done - last.done) / span_s, 2)
    return [*samples, replace(now, images_per_s=rate)]


def draw_charts(samples: Sequence[Sample], span: tuple[float, float]) -> tuple[Chart, ...]:
    """Draw the charts of the dashboard.

    Args:
        samples: The samples, the oldest first.
        span: Start and end of the displayed time, in seconds since the epoch.
    """
    queue = [
        Series("waiting", [(sample.at, float(sample.visible)) for sample in samples]),
        Series("in flight", [(sample.at, float(sample.in_flight)) for sample in samples]),
    ]
    workers = [
        Series(name, [(sample.at, _count(sample, states)) for sample in samples])
        for name, states in STATES.items()
    ]
    throughput = [Series("all workers", [(sample.at, sample.images_per_s) for sample in samples])]
    panels = (
        Panel("Queue", queue),
        Panel("Workers", workers),
        Panel("Images a second", throughput),
    )
    return tuple(_chart(panel, span) for panel in panels)


def _chart(panel: Panel, span: tuple[float, float]) -> Chart:
    svg = step_chart(
        [panel],
        title=panel.title,
        span=span,
        label_of=_time,
        panel_height=CHART_HEIGHT,
        bare_width=CHART_WIDTH,
        gap_s=GAP_S,
    )
    lines = tuple(
        ChartLine(
            series.name,
            series.points[-1][1] if series.points else None,
            max((value for _, value in series.points), default=None),
        )
        for series in panel.series
    )
    return Chart(panel.title, lines, Markup(svg))  # noqa: S704 - contains only numbers and fixed words


def area_under(points: Sequence[Point]) -> float:
    """Integrate a value over time that holds until the next point; gaps count for nothing."""
    return sum(
        value * (after - at) for (at, value), (after, _) in pairwise(points) if after - at <= GAP_S
    )


def _count(sample: Sample, states: Sequence[str]) -> float:
    return float(sum(sample.workers.get(state, 0) for state in states))


def _time(at: float) -> str:
    """Format a time of day in UTC: the server does not know the reader's time zone."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")
