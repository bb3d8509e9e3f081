"""The options of ``iraas loadgen``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

DEFAULT_REQUESTS = 100
DEFAULT_CLIENTS = 32
DEFAULT_OPEN_LOOP_LIMIT = 1000
TIMEOUT_S = 300.0
GIVE_UP_S = 3.0

_LOAD = "Load"
_REPORT = "Report"

ArgumentsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="[URL] PATH…",
        help="The web tier's address (unless --queue), then images: files, folders, patterns.",
        show_default=False,
    ),
]
QueueOption = Annotated[
    bool, typer.Option("--queue", help="Send straight to the deployment's request queue.")
]
ApiOption = Annotated[
    Literal["classify", "inputfile"],
    typer.Option(help="POST /api/v1/classify, or POST / with one form field inputFile."),
]
RequestsOption = Annotated[
    int | None,
    typer.Option(
        "--requests",
        "-n",
        min=1,
        metavar="N",
        rich_help_panel=_LOAD,
        help=f"How many. [default: {DEFAULT_REQUESTS}, or what --duration allows]",
    ),
]
ConcurrencyOption = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        "-c",
        min=1,
        max=10_000,
        metavar="C",
        rich_help_panel=_LOAD,
        help=f"Requests in flight at most. [default: {DEFAULT_CLIENTS}, with --rate "
        f"{DEFAULT_OPEN_LOOP_LIMIT}]",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        max=100_000,
        metavar="R",
        rich_help_panel=_LOAD,
        help="Send so many per second, answered or not; latency counts from when each was due.",
    ),
]
ArrivalsOption = Annotated[
    Literal["poisson", "fixed"],
    typer.Option(rich_help_panel=_LOAD, help="How the requests of --rate are spaced."),
]
DurationOption = Annotated[
    float | None,
    typer.Option(
        min=0.1, metavar="S", rich_help_panel=_LOAD, help="Send none after so many seconds."
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        min=0.1, metavar="S", rich_help_panel=_LOAD, help="The time limit of one request."
    ),
]
GiveUpOption = Annotated[
    float,
    typer.Option(
        min=0.1,
        metavar="S",
        rich_help_panel=_LOAD,
        help="Stop after so many seconds with nothing but connection errors.",
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.csv", rich_help_panel=_REPORT, help="The right labels: columns file,label."
    ),
]
SaveOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_REPORT,
        help="Save every request: FILE.csv or FILE.jsonl.",
    ),
]
ChartOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.svg",
        rich_help_panel=_REPORT,
        help="Draw the queue and the workers over the run.",
    ),
]
WatchAfterOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=3600.0,
        metavar="S",
        rich_help_panel=_REPORT,
        help="After the last answer, observe for so many seconds at most, until no worker is left.",
    ),
]
