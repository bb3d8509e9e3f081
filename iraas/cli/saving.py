"""Saving outcomes to a file, as they arrive."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from iraas.core.outcomes import Outcome
from iraas.errors import UsageError

COLUMNS = (
    "name", "status", "label", "score", "reason", "top", "request_id", "job_id",
    "model", "worker", "attempts", "submitted_at", "completed_at",
)  # fmt: skip


@contextmanager
def saving(path: Path | None) -> Iterator[Callable[[Outcome], None]]:
    """Open a file for outcomes, and give what writes one into it; None saves nothing.

    The ending says how: ``.csv``, or ``.jsonl`` with the JSON object of each on a line. Names that
    a text file cannot hold were replaced when they came in.

    Raises:
        UsageError: If the ending is another, or the file cannot be written.
    """
    if path is None:
        yield lambda _: None
        return
    check_save_path(path)
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}") from exc
    with file:
        yield _csv_writer(file) if path.suffix == ".csv" else _jsonl_writer(file)


def check_save_path(path: Path) -> None:
    """Refuse a file that outcomes cannot be saved to, before there are any.

    Raises:
        UsageError: If its ending does not say how to save, or it cannot be written.
    """
    if path.suffix not in {".csv", ".jsonl"}:
        raise UsageError(
            f"{path} ends neither in .csv nor in .jsonl", remedy="Try: --save results.csv"
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK) or path.is_dir():
        raise UsageError(
            f"{path} cannot be written", remedy="Name a file in a folder that you may write to."
        )


def _jsonl_writer(file: TextIO) -> Callable[[Outcome], None]:
    def write(outcome: Outcome) -> None:
        file.write(json.dumps(outcome.to_json(), ensure_ascii=False) + "\n")

    return write


def _csv_writer(file: TextIO) -> Callable[[Outcome], None]:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)

    def write(outcome: Outcome) -> None:
        value = outcome.to_json()
        value["top"] = "; ".join(f"{one['label']} {one['score']:.4f}" for one in value["top"])
        writer.writerow([value[name] for name in COLUMNS])

    return write
