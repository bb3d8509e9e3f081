"""Saving each request of a run to a file, as it ends."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from iraas.cli.saving import check_save_path
from iraas.errors import UsageError
from iraas.loadgen.answers import Measured

COLUMNS = (
    "number", "name", "due_s", "started_s", "ended_s", "latency_s", "expected", "label", "right",
    "failure", "reason", "status", "retries", "request_id", "worker",
)  # fmt: skip


@contextmanager
def saving_requests(path: Path | None) -> Iterator[Callable[[Measured], None]]:
    """Open a file for requests, ``.csv`` or ``.jsonl``, and give what writes one into it.

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
        if path.suffix == ".jsonl":
            yield lambda one: print(json.dumps(one.to_json(), ensure_ascii=False), file=file)
        else:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            yield lambda one: _ignore(writer.writerow(one.to_json()))


def _ignore(_written: object) -> None:
    """What a writer says of its work is of no use here."""
