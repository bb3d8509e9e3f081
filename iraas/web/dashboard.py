"""What the dashboard shows."""

from dataclasses import dataclass

from markupsafe import Markup

from iraas.core.records import DecisionRecord
from iraas.services.history import Sample
from iraas.services.job_view import JobSummary
from iraas.services.recent import recent_decisions, recent_jobs
from iraas.services.status import Status
from iraas.web.charts import Series, Span, area_under, step_chart
from iraas.web.context import WebContext

DECISIONS_SHOWN = 12
JOBS_SHOWN = 12
STATUS_AGE_S = 2.0
SPANS_S = {"15m": 900.0, "1h": 3600.0, "6h": 21_600.0, "24h": 86_400.0}
STATES = ("running", "starting", "booting", "draining", "stopping")
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, its title, and the names of its lines."""

    title: str
    names: tuple[str, ...]
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


@dataclass(frozen=True, slots=True)
class Dashboard:
    """All that the dashboard shows.

    Attributes:
        status: The deployment now.
        charts: The past.
        worker_hours: Hours that workers were there, in the time shown.
        decisions: The controller's, the latest first.
        jobs: The latest first.
    """

    status: Status
    charts: tuple[Chart, ...]
    worker_hours: float
    decisions: tuple[DecisionRecord, ...]
    jobs: tuple[JobLine, ...]


def make_dashboard(context: WebContext, span_s: float) -> Dashboard:
    """Gather what the dashboard shows. Blocks.

    Raises:
        BackendError: A part of the deployment could not be asked.
    """
    backend, clock = context.backend, context.clock
    samples = context.history.samples(clock() - span_s)
    jobs = recent_jobs(backend, context.board, clock, count=JOBS_SHOWN)
    workers = [(one.at, float(sum(one.workers.values()))) for one in samples]
    return Dashboard(
        status=context.status.latest(STATUS_AGE_S),
        charts=draw_charts(samples, Span(clock() - span_s, clock())),
        worker_hours=area_under(workers) / SECONDS_PER_HOUR,
        decisions=tuple(recent_decisions(backend, clock, count=DECISIONS_SHOWN)),
        jobs=tuple(JobLine(one.job.job_id[-4:], one) for one in jobs),
    )


def draw_charts(samples: list[Sample], span: Span) -> tuple[Chart, ...]:
    """The three charts of the dashboard."""
    queue = (
        Series("waiting", [(one.at, float(one.visible)) for one in samples]),
        Series("in flight", [(one.at, float(one.in_flight)) for one in samples]),
    )
    seen = [state for state in STATES if any(state in one.workers for one in samples)]
    workers = tuple(
        Series(state, [(one.at, float(one.workers.get(state, 0))) for one in samples])
        for state in seen or STATES[:1]
    )
    pace = (Series("images a second", [(one.at, one.images_per_s) for one in samples]),)
    return (
        _chart("Queue", "images", queue, span),
        _chart("Workers", "workers", workers, span),
        _chart("Throughput", "images a second", pace, span),
    )


def _chart(title: str, unit: str, series: tuple[Series, ...], span: Span) -> Chart:
    names = tuple(one.name for one in series)
    return Chart(title, names, step_chart(title, unit, series, span))
