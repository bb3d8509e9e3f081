"""Identifiers of jobs, requests, requesters and workers.

A job's id is a lower-case ULID: 48 bits of time and 80 random bits, so that ids sort by time and
cannot be guessed (https://github.com/ulid/spec). A request's id is its job's id and its index in
the job: sending a job again gives the same request ids, which makes sending idempotent.
"""

import re
import secrets
from collections.abc import Callable

from iraas.errors import UsageError

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
MAX_JOB_SIZE = 10**8
"""The maximum number of requests in a job: an index has eight digits."""

_ULID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_REQUEST = re.compile(r"([0-7][0-9a-hjkmnp-tv-z]{25})-([0-9]{8})")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


def new_ulid(now_s: float, random_bits: Callable[[int], int] = secrets.randbits) -> str:
    """Generate a lower-case ULID: 26 characters that sort by time and cannot be guessed.

    Args:
        now_s: The time in seconds since the epoch.
        random_bits: Returns a number of that many random bits; injected by tests.
    """
    number = (int(now_s * 1000) & (2**48 - 1)) << 80 | random_bits(80)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_job_id(text: str) -> bool:
    """Return whether a text has the form of a job's id."""
    return _ULID.fullmatch(text) is not None


def check_job_id(text: str) -> str:
    """Normalize a job's id that a user typed.

    Raises:
        UsageError: It is not a job's id.
    """
    job_id = text.strip().lower()
    if not is_job_id(job_id):
        raise UsageError(f"{text!r} is not a job id", remedy="List the jobs with: iraas jobs")
    return job_id


def job_time(job_id: str) -> float:
    """Return when a job's id was generated, in seconds since the epoch."""
    milliseconds = 0
    for character in job_id[:10]:
        milliseconds = milliseconds << 5 | ALPHABET.index(character)
    return milliseconds / 1000


def request_id(job_id: str, index: int) -> str:
    """Return the id of the request at an index of a job, counted from zero.

    Raises:
        ValueError: The index is not in 0..`MAX_JOB_SIZE` - 1.
    """
    if not 0 <= index < MAX_JOB_SIZE:
        raise ValueError(f"request index {index} is not in 0..{MAX_JOB_SIZE - 1}")
    return f"{job_id}-{index:08d}"


def split_request_id(text: str) -> tuple[str, int]:
    """Split a request's id into its job's id and its index.

    Raises:
        ValueError: It is not a request's id.
    """
    match = _REQUEST.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:80]!r} is not a request id")
    return match[1], int(match[2])


def is_plain_name(text: str) -> bool:
    """Return whether a text may name a deployment, a requester or a worker.

    Lower-case letters, digits and inner hyphens, at most 64 characters: safe in a path, in a key
    and in the names of AWS resources.
    """
    return _NAME.fullmatch(text) is not None
