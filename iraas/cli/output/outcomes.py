"""Printing outcomes: at once for programs and pipes, as a table at the end on a terminal."""

from pathlib import Path

import typer

from iraas.cli.output.render import console, outcome_table, print_json, print_outcome_line
from iraas.core.control_chars import escape_control_chars
from iraas.core.outcomes import Outcome

TABLE_ROWS = 200
"""The most rows of the table on a terminal."""


class OutcomePrinter:
    """Counts and prints outcomes; its memory does not grow with their number.

    Attributes:
        counted: Outcomes counted.
        failed: Failures among them.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.counted = 0
        self.failed = 0
        self._as_json = as_json
        self._console = console()
        self._as_table = self._console.is_terminal and not as_json
        self._kept: list[Outcome] = []
        self._shown = 0

    def count(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.counted += 1
        self.failed += outcome.prediction is None

    def show(self, outcome: Outcome) -> None:
        """Print an outcome, or keep it for the table."""
        self._shown += 1
        if self._as_json:
            print_json(outcome.to_json())
        elif not self._as_table:
            print_outcome_line(outcome)
        elif len(self._kept) < TABLE_ROWS:
            self._kept.append(outcome)

    def close(self, save: Path | None, *, missing: int) -> None:
        """Print the table, if there is one, and the totals."""
        if self._as_table:
            self._kept.sort(key=lambda outcome: outcome.request_id)
            self._console.print(outcome_table(self._kept, left_out=self._shown - len(self._kept)))
        text = f"{self.counted - self.failed:,} labelled, {self.failed:,} failed"
        if missing:
            text += f", {missing:,} not done yet"
        if save is not None:
            text += f"; saved to {escape_control_chars(str(save))}"
        typer.echo(text, err=True)
