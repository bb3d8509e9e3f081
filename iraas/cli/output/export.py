"""Saving outcomes and requests to a file, one row at a time."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from iraas.core.control_chars import csv_text
from iraas.core.outcomes import Outcome
from iraas.errors import SavingError, UsageError

Row = Mapping[str, Any]
COLUMNS = (
    "name", "status", "label", "score", "reason", "top", "request_id", "job_id",
    "model", "worker", "attempts", "submitted_at", "completed_at",
)  # fmt: skip


@contextmanager
def saving(path: Path | None) -> Iterator[Callable[[Outcome], None]]:
    """Open a file for outcomes, and give the function that writes one. See `saving_rows`."""
    with saving_rows(path, COLUMNS) as write:
        yield lambda outcome: write(outcome.to_json())


@contextmanager
def saving_rows(path: Path | None, columns: Sequence[str]) -> Iterator[Callable[[Row], None]]:
    """Open a file for JSON objects, and give the function that writes one; None saves nothing.

    The file's extension sets the format: ``.csv`` with the columns, for people, or ``.jsonl`` with
    an object on each line, names unchanged. Names that a text file cannot hold were replaced when
    they were read.

    Raises:
        UsageError: The extension is another, or the file cannot be written.
    """
    if path is None:
        yield lambda _: None
        return
    check_save_path(path)
    with ExitStack() as stack:
        with _naming(path):
            file = path.open("w", encoding="utf-8", newline="")
            stack.callback(_close, file, path)
            put = _csv_writer(file, columns) if path.suffix == ".csv" else _jsonl_writer(file)

        def write(row: Row) -> None:
            with _naming(path):
                put(row)

        yield write


def _close(file: TextIO, path: Path) -> None:
    """Close a file; flushing its buffer may fail on a full disk."""
    with _naming(path):
        file.close()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise SavingError(
            f"{path} cannot be written: {exc.strerror}",
            remedy="Nothing else is lost: save once more with iraas results JOB --save FILE",
        ) from exc


def check_save_path(path: Path) -> None:
    """Check that a file can be saved to, before there is anything to save.

    Raises:
        UsageError: Its extension is neither ``.csv`` nor ``.jsonl``, or it cannot be written.
    """
    if path.suffix not in {".csv", ".jsonl"}:
        raise UsageError(
            f"{path} ends neither in .csv nor in .jsonl", remedy="Try: --save results.csv"
        )
    check_writable(path)


def check_writable(path: Path) -> None:
    """Check that a file can be written, before there is anything to write.

    Raises:
        UsageError: It cannot.
    """
    if not os.access(path if path.exists() else path.parent, os.W_OK) or path.is_dir():
        raise UsageError(
            f"{path} cannot be written", remedy="Name a file in a folder that you may write to."
        )


def _jsonl_writer(file: TextIO) -> Callable[[Row], None]:
    def write(row: Row) -> None:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")

    return write


def _csv_writer(file: TextIO, columns: Sequence[str]) -> Callable[[Row], None]:
    writer = csv.writer(file)
    writer.writerow(columns)

    def write(row: Row) -> None:
        writer.writerow([_in_a_cell(row[name]) for name in columns])

    return write


def _in_a_cell(value: object) -> object:
    """A list of labels and scores as one text; texts are escaped, so that none is a formula."""
    if isinstance(value, list):
        value = "; ".join(f"{label['label']} {label['score']:.4f}" for label in value)
    return csv_text(value) if isinstance(value, str) else value
