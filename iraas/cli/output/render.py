"""Rendering results: tables for a terminal, plain lines for a pipe, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from iraas.cli.doctor_checks import Check
from iraas.cli.output.pluralize import pluralize
from iraas.controller.dead_letters import DeadLetter
from iraas.core.control_chars import escape_control_chars
from iraas.core.outcomes import Outcome
from iraas.core.ports import Resource
from iraas.core.settings import ResolvedSettings, is_secret
from iraas.jobs.store import JobListing
from iraas.monitoring.status import Status

PIPE_WIDTH = 1000
"""Columns of a table in a pipe, so wide that no line is folded: lines are filtered there."""


def console(*, stderr: bool = False) -> Console:
    """The console for tables."""
    made = Console(stderr=stderr, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def cell(text: str) -> str:
    """Escape a text for a table's cell: control characters and markup."""
    return escape(escape_control_chars(text))


def print_json(value: object) -> None:
    """Print a value as one line of JSON: in ASCII if the output's encoding or a terminal needs it.

    A terminal gets ASCII since some characters beyond it control terminals.
    """
    text = json.dumps(value, ensure_ascii=sys.stdout.isatty())
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(value)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_outcome_line(outcome: Outcome) -> None:
    """Print an outcome as name, label and score between tabs; a failure as its reason."""
    if outcome.prediction is None:
        fields = [outcome.name, "failed", outcome.reason]
    else:
        fields = [outcome.name, outcome.prediction.label, f"{outcome.prediction.score:.4f}"]
    sys.stdout.write("\t".join(map(escape_control_chars, fields)) + "\n")
    sys.stdout.flush()


def outcome_table(outcomes: Iterable[Outcome], *, left_out: int = 0) -> Table:
    """The outcomes of a job, for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", overflow="fold")
    table.add_column("label", overflow="fold")
    table.add_column("score", justify="right")
    for outcome in outcomes:
        if outcome.prediction is None:
            table.add_row(cell(outcome.name), f"[red]failed:[/red] {cell(outcome.reason)}", "")
        else:
            score = outcome.prediction.score
            table.add_row(cell(outcome.name), cell(outcome.prediction.label), f"{score:.1%}")
    if left_out:
        table.add_row(f"… {left_out:,} more", "", "")
    return table


def job_table(jobs: Iterable[JobListing]) -> Table:
    """The jobs of a deployment, for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("job", "sent", "images", "done", "from"):
        table.add_column(title, justify="right" if title in {"images", "done"} else "left")
    for listing in jobs:
        job = listing.job
        table.add_row(
            job.job_id,
            _date_time(job.created_at),
            f"{job.total:,}",
            f"{listing.done:,}",
            cell(" ".join(job.sources)[:60]),
        )
    return table


def job_json(listing: JobListing) -> dict[str, Any]:
    """A job as a JSON object."""
    return {**asdict(listing.job), "done": listing.done}


def status_view(status: Status) -> Table:
    """A deployment's status, for a terminal."""
    view = Table.grid(padding=(0, 2))
    view.add_column(style="bold")
    view.add_column()
    queue = status.queue
    view.add_row("deployment", f"{status.deployment} ({status.backend})")
    view.add_row(
        "request queue",
        f"{queue.visible:,} waiting, {queue.in_flight:,} in flight, {queue.delayed:,} delayed",
    )
    more = " [dim](see them with --dead-letters)[/dim]" if status.dead_letters else ""
    view.add_row("dead letters", f"{status.dead_letters:,}{more}")
    view.add_row(
        "by workers",
        f"{status.done:,} done, {status.failed:,} of them failed; {status.images_per_s:g} images/s",
    )
    if status.spent_usd or status.hour_usd:
        each = f", ${status.per_thousand_usd:.3f} per 1,000 images" if status.done else ""
        spend = f"about ${status.spent_usd:.2f} so far{each}; ${status.hour_usd:.2f} an hour now"
        if status.unpriced:
            spend += f"; {', '.join(status.unpriced)} has no price and counts as the dearest type"
        view.add_row("spend", cell(spend))
    view.add_row("controller", cell(status.controller) or "none")
    view.add_row("last decision", _decision(status))
    view.add_row("workers", _worker_table(status) if status.workers else "none")
    for machine in status.machines:
        text = (
            f"{machine.instance_id}, {machine.state}, {machine.kind} {machine.pricing}, "
            f"{machine.age_s:,.0f} s"
        )
        view.add_row({"web": "web tier"}.get(machine.role, machine.role), cell(text))
    return view


def letter_table(letters: Sequence[DeadLetter]) -> Table:
    """Dead letters, for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("dead letter", "of job", "sent", "reason"):
        table.add_column(title, overflow="fold")
    for letter in letters:
        sent = _date_time(letter.submitted_at) if letter.submitted_at else ""
        table.add_row(cell(letter.name), cell(letter.job_id), sent, cell(letter.note))
    return table


def resource_table(resources: Sequence[Resource], absent: str) -> Table:
    """The resources of a deployment, for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("what", "name", "state", "detail"):
        table.add_column(title, overflow="fold")
    for resource in resources:
        state = "there" if resource.exists else absent
        table.add_row(resource.kind, cell(resource.name), state, cell(resource.detail))
    return table


def resource_json(resources: Sequence[Resource]) -> list[dict[str, Any]]:
    """The resources of a deployment, as JSON."""
    return [asdict(resource) for resource in resources]


def settings_table(resolved: ResolvedSettings) -> Table:
    """The settings and where each came from, for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for name, value in sorted(asdict(resolved.settings).items()):
        absent = "not set" if is_secret(name) else "automatic"
        text = f"[dim]{absent}[/dim]" if value is None else cell(_setting(name, value))
        table.add_row(name, text, cell(resolved.sources[name]))
    return table


def settings_json(resolved: ResolvedSettings) -> dict[str, Any]:
    """The settings and where each came from, as JSON."""
    return {
        name: {
            "value": value if isinstance(value, int | float | None) else _setting(name, value),
            "source": resolved.sources[name],
        }
        for name, value in sorted(asdict(resolved.settings).items())
    }


def check_table(checks: Sequence[Check]) -> Table:
    """The checks of ``iraas doctor``, for a terminal."""
    return finding_table([(check.passed, check.name, check.finding, "") for check in checks])


def finding_table(findings: Sequence[tuple[bool | None, str, str, str]]) -> Table:
    """Findings as rows: whether it passed (None: unknown), the subject, the finding, the remedy."""
    marks = {True: "[green]ok[/green]", False: "[red]no[/red]", None: "[yellow]?[/yellow]"}
    table = Table(box=None, pad_edge=False, show_header=False)
    for passed, name, finding, remedy in findings:
        text = f"{cell(finding)}\n[dim]{cell(remedy)}[/dim]" if remedy else cell(finding)
        table.add_row(marks[passed], cell(name), text)
    return table


def _worker_table(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("id", "state", "age", "done", "images/s", "on"):
        table.add_column(title, justify="right" if title in {"age", "done", "images/s"} else "left")
    for worker in status.workers:
        table.add_row(
            cell(worker.worker_id),
            cell(worker.state),
            f"{worker.age_s:,.0f} s",
            f"{worker.done:,}",
            f"{worker.images_per_s:.1f}",
            worker.kind if worker.pricing == "free" else f"{worker.kind}, {worker.pricing}",
        )
    return table


def _setting(name: str, value: object) -> str:
    if is_secret(name):
        return "(secret)"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _decision(status: Status) -> str:
    decision = status.decision
    if decision is None:
        return "none"
    ago = max(0.0, status.at - decision.at)
    launched = f", {decision.launched} launched" if decision.launched else ""
    removed = f", {len(decision.removed)} removed" if decision.removed else ""
    wanted = f"{pluralize(decision.wanted, 'worker')} wanted{launched}{removed}"
    return f"{wanted}: {cell(decision.reason)} [dim]({ago:.0f} s ago)[/dim]"


def _date_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
