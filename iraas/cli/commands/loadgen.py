"""``iraas loadgen``: simulate many requesters at once, and measure what they see."""

import typer

from iraas.cli.exit_codes import ExitCode
from iraas.cli.loadgen_options import (
    DEFAULT_CLIENTS,
    DEFAULT_OPEN_LOOP_LIMIT,
    DEFAULT_REQUESTS,
    GIVE_UP_S,
    TIMEOUT_S,
    ApiOption,
    ArgumentsArgument,
    ArrivalsOption,
    ChartOption,
    ConcurrencyOption,
    DurationOption,
    GiveUpOption,
    LabelsOption,
    QueueOption,
    RateOption,
    RequestsOption,
    SaveOption,
    TimeoutOption,
    WatchAfterOption,
)
from iraas.cli.loadgen_runner import LoadTarget, ReportOptions, run_load
from iraas.cli.options import JsonOption, with_settings
from iraas.core.settings import ResolvedSettings
from iraas.errors import UsageError
from iraas.loadgen.plan import Arrivals, LoadPlan


@with_settings("token", "model", "max_workers", "max_image_bytes")
def loadgen(
    resolved: ResolvedSettings,
    arguments: ArgumentsArgument,
    queue: QueueOption = False,
    api: ApiOption = "classify",
    requests: RequestsOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    arrivals: ArrivalsOption = "poisson",
    duration: DurationOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
    give_up: GiveUpOption = GIVE_UP_S,
    labels: LabelsOption = None,
    save: SaveOption = None,
    chart: ChartOption = None,
    watch_after: WatchAfterOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Send images as many requesters at once would, and measure what they see.

    The loop is closed: each of --concurrency clients sends its next image when its last one is
    answered. With --rate it is open. Ctrl-C prints what was measured so far. Exit codes: 0 all
    labelled, 3 some failed, 4 wrong token, 6 the server no longer answers, 130 interrupted.

    Examples:
        iraas loadgen http://127.0.0.1:8000 ./images -n 500 --chart run.svg

        iraas loadgen --queue ./images --rate 20 --duration 60 --labels labels.csv
    """
    url, paths = _split(arguments, queue=queue)
    result = run_load(
        resolved,
        _plan(requests, duration, concurrency, timeout, rate, arrivals, give_up),
        LoadTarget(url, api, resolved.settings.token or ""),
        paths,
        ReportOptions(
            labels=labels, save=save, chart=chart, watch_after_s=watch_after, as_json=as_json
        ),
    )
    if result.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if result.unresponsive is not None:
        raise typer.Exit(ExitCode.UNANSWERED)
    if result.summary.failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _split(arguments: list[str], *, queue: bool) -> tuple[str | None, list[str]]:
    """Separate the address from the paths."""
    is_url = "://" in arguments[0]
    if queue and is_url:
        raise UsageError("--queue takes no address: it sends to the deployment's own queue")
    if not queue and not is_url:
        raise UsageError(
            f"{arguments[0]!r} is not the address of a web tier",
            remedy="For example: iraas loadgen http://127.0.0.1:8000 ./images; or --queue ./images",
        )
    url, paths = (None, arguments) if queue else (arguments[0], arguments[1:])
    if not paths:
        raise UsageError("name images to send", remedy="Files, folders or patterns.")
    return url, paths


def _plan(
    requests: int | None,
    duration_s: float | None,
    concurrency: int | None,
    timeout_s: float,
    rate: float | None,
    arrivals: Arrivals,
    give_up_s: float,
) -> LoadPlan:
    return LoadPlan(
        requests=DEFAULT_REQUESTS if requests is None and duration_s is None else requests,
        duration_s=duration_s,
        in_flight=concurrency or (DEFAULT_CLIENTS if rate is None else DEFAULT_OPEN_LOOP_LIMIT),
        timeout_s=timeout_s,
        rate_per_s=rate,
        arrivals=arrivals,
        give_up_s=give_up_s,
    )
