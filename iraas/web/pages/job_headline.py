"""How far a job is, in words. The script of the results page says the same."""

from collections.abc import Mapping
from typing import Any


def headline(job: Mapping[str, Any]) -> str:
    """What the results page says above all: how far a job is.

    Args:
        job: The job's summary, as its JSON has it.
    """
    total, done, failed = job["total"], job["done"], job["failed"]
    if job["state"] == "done":
        return f"{'Cancelled' if job['cancelled'] else 'Done'}: {_found(job)}"
    if job["state"] == "cancelled":
        return f"Cancelled: {done:,} of {total:,} done, {total - done:,} were already on their way"
    if not total:
        return "Waiting for the first picture"
    said = f"{done:,} of {total:,}"
    return f"{said}, {failed:,} failed" if failed else said


def _found(job: Mapping[str, Any]) -> str:
    done, failed = job["done"], job["failed"]
    if not done:
        return "no pictures"
    if not job["is_counted"]:
        return f"{done:,} pictures"
    parts = ((done - failed, "labelled"), (failed, "failed"))
    return ", ".join(f"{count:,} {what}" for count, what in parts if count)
