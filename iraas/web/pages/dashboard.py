"""What the dashboard shows."""

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
LEAST_RATE_S = 2.0
GAP_S = 900.0
"""Samples further apart were taken by nobody in between."""
CHART_WIDTH, CHART_HEIGHT = 380, 104
"""About as wide as a chart is shown, on a phone and beside two others: its text stays readable."""


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A line of a chart in words: what it shows, its last value and its highest one, if any."""

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
    """A job on the dashboard. Not its id: whoever knows that may see the pictures.

    Attributes:
        ending: The end of its id, to tell jobs apart.
        summary: How far it is.
    """

    ending: str
    summary: JobSummary

    @property
    def state(self) -> str:
        """The job's state; ``rolling`` for one that single requests share, which is never whole."""
        is_shared = SHARED_SOURCE in self.summary.job.sources and not self.summary.job.sealed
        return "rolling" if is_shared else self.summary.state


@dataclass(frozen=True, slots=True)
class Dashboard:
    """All that the dashboard shows.

    Attributes:
        status: The deployment now.
        charts: The past, up to now.
        images_per_s: What all workers do together, counted over the last seconds.
        worker_hours: Hours that workers were there, in the time shown.
        decisions: The controller's, the latest first.
        jobs: The latest first.
    """

    status: Status
    charts: tuple[Chart, ...]
    images_per_s: float
    worker_hours: float
    decisions: tuple[ScalingDecision, ...]
    jobs: tuple[JobLine, ...]


def make_dashboard(context: AppState, span_s: float) -> Dashboard:
    """Gather what the dashboard shows. Blocks.

    Raises:
        BackendError: A part of the deployment could not be asked.
    """
    backend, clock = context.backend, context.clock
    until = clock()
    status = context.status.latest(STATUS_AGE_S)
    samples = up_to_now(context.history.samples(until - span_s), sample_of(status))
    jobs = recent_jobs(backend, context.board, clock, count=JOBS_SHOWN)
    workers = [(one.at, float(sum(one.workers.values()))) for one in samples]
    return Dashboard(
        status=status,
        charts=draw_charts(samples, (until - span_s, until)),
        images_per_s=samples[-1].images_per_s,
        worker_hours=area_under(workers) / SECONDS_PER_HOUR,
        decisions=merged(recent_decisions(backend, clock, count=DECISIONS_READ))[:DECISIONS_SHOWN],
        jobs=tuple(JobLine(one.job.job_id[-4:], one) for one in jobs),
    )


def merged(decisions: Sequence[ScalingDecision]) -> tuple[ScalingDecision, ...]:
    """Decisions, the latest first, those of one second as one: what was wanted last and why, and
    all that was done.
    """
    found: list[ScalingDecision] = []
    for one in decisions:
        last = found[-1] if found else None
        if last is not None and int(last.at) == int(one.at):
            removed = one.removed | last.removed
            found[-1] = replace(last, launched=last.launched + one.launched, removed=removed)
        else:
            found.append(one)
    return tuple(found)


def up_to_now(samples: Sequence[Sample], now: Sample) -> list[Sample]:
    """The samples of the past and the present, so that charts end in what is told beside them.

    The present's rate is counted, as those of the past are; workers tell theirs with a lag.
    """
    if not samples or now.at <= samples[-1].at:
        return [*samples] or [now]
    last = samples[-1]
    span_s = now.at - last.at
    if span_s < LEAST_RATE_S:
        return [*samples, replace(now, images_per_s=last.images_per_s)]
    rate = round(max(0, now.done - last.done) / span_s, 2)
    return [*samples, replace(now, images_per_s=rate)]


def draw_charts(samples: Sequence[Sample], span: tuple[float, float]) -> tuple[Chart, ...]:
    """The charts of the dashboard, over a span from one time to another."""
    queue = [
        Series("waiting", [(one.at, float(one.visible)) for one in samples]),
        Series("in flight", [(one.at, float(one.in_flight)) for one in samples]),
    ]
    workers = [
        Series(name, [(one.at, _count(one, states)) for one in samples])
        for name, states in STATES.items()
    ]
    pace = [Series("all workers", [(one.at, one.images_per_s) for one in samples])]
    panels = (Panel("Queue", queue), Panel("Workers", workers), Panel("Images a second", pace))
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
            one.name,
            one.points[-1][1] if one.points else None,
            max((value for _, value in one.points), default=None),
        )
        for one in panel.series
    )
    return Chart(panel.title, lines, Markup(svg))  # noqa: S704 - made of numbers and of words of ours


def area_under(points: Sequence[Point]) -> float:
    """The sum over time of a value that holds until the next point; gaps count for nothing."""
    return sum(
        value * (after - at) for (at, value), (after, _) in pairwise(points) if after - at <= GAP_S
    )


def _count(sample: Sample, states: Sequence[str]) -> float:
    return float(sum(sample.workers.get(state, 0) for state in states))


def _time(at: float) -> str:
    """A time of day in UTC: the server does not know the reader's clock."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")
