"""Where each object lies in the stores. A key is made of ids alone, never of a file's name.

::

    inputs   <job>/<shard>/<index>.<ext>           the image as it was sent
    outputs  <job>/<shard>/<index>.json            its outcome
             <job>/0-refused/<first>-<last>.jsonl  outcomes of images that were never sent
    records  jobs/<job>.json                       what the job is
             manifests/<job>/<page>.jsonl          which images it has, a page of them a file
             attempts/<job>/<index>/<n>            an image about to be tried alone
             workers/<worker>.json                 what a worker last said of itself
             instances/<instance>.json             what an instance costs, from when to when
             controller/…                          what the controller decided, and why
             history/<minute>.json                 samples of the deployment, for charts
             tickets/<ticket>                      where the outcome of one request will be
             webhooks/<job>.json                   whom to tell when a job is done
             revoked-sessions/<end>-<session>      a browser's session that was logged out
             deleted/<job>.json                    that a job was deleted, for a while

What was refused sorts before the shards: one listing tells it before it tells the rest. A shard
holds a thousand, so that no folder grows too large to look at.
"""

import re

from iraas.core.ids import split_request_id

SHARD_SIZE = 1000
JOBS = "jobs/"
MAX_ATTEMPTS = 10
"""Attempts that may be noted for one request."""

WORKERS = "workers/"
DECISIONS = "controller/decisions/"
LAST_DECISION = "controller/last-decision.json"
INSTANCES = "instances/"
SPEND_LIMIT = "controller/spend-limit.json"
HISTORY = "history/"
WEBHOOKS = "webhooks/"
REVOKED_SESSIONS = "revoked-sessions/"
TICKETS = "tickets/"
DELETED = "deleted/"

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
MAX_KEY_CHARACTERS = 512
_REFUSALS = re.compile(r"/0-refused/([0-9]{8})-([0-9]{8})\.jsonl\Z")


def check_key(key: str) -> str:
    """Give a key back if it is one that every store takes.

    Raises:
        ValueError: If it is empty, too long, or has a segment that a path could trip over.
    """
    if len(key) > MAX_KEY_CHARACTERS or _KEY.fullmatch(key) is None:
        raise ValueError(f"{key[:80]!r} is not a store key")
    return key


def _place(request_id: str) -> str:
    job_id, index = split_request_id(request_id)
    return f"{job_id}/{index // SHARD_SIZE:05d}/{index:08d}"


def input_key(request_id: str, extension: str) -> str:
    """Where a request's image lies in the input store."""
    return check_key(f"{_place(request_id)}.{extension}")


def outcome_key(request_id: str) -> str:
    """Where a request's outcome lies in the output store."""
    return f"{_place(request_id)}.json"


def index_of_outcome(key: str) -> int | None:
    """The index of the request whose outcome lies under a key; None for any other key."""
    name = key.rsplit("/", 1)[-1]
    return int(name[:-5]) if re.fullmatch(r"[0-9]{8}\.json", name) else None


def outcomes_of(job_id: str) -> str:
    """The prefix of a job's outcomes in the output store, and of its images in the input store."""
    return f"{job_id}/"


def refusals_key(job_id: str, first: int, last: int) -> str:
    """Where the outcomes of images lie that were refused together.

    Args:
        job_id: The job.
        first: The lowest index among them.
        last: The highest.
    """
    return f"{outcomes_of(job_id)}0-refused/{first:08d}-{last:08d}.jsonl"


def refusals_range(key: str) -> tuple[int, int] | None:
    """The lowest and the highest index of refused images under a key; None for any other key."""
    match = _REFUSALS.search(key)
    return (int(match[1]), int(match[2])) if match else None


def job_key(job_id: str) -> str:
    """Where a job's record lies."""
    return f"{JOBS}{job_id}.json"


def manifest_prefix(job_id: str) -> str:
    """The prefix of a job's manifest pages."""
    return f"manifests/{job_id}/"


def manifest_key(job_id: str, page: int) -> str:
    """Where a page of a job's manifest lies."""
    return f"{manifest_prefix(job_id)}{page:06d}.jsonl"


def attempt_key(request_id: str, number: int) -> str:
    """Where it is noted that a request is about to be tried alone, for the nth time (from 1)."""
    job_id, index = split_request_id(request_id)
    return f"attempts/{job_id}/{index:08d}/{number:02d}"


def attempts_of(job_id: str) -> str:
    """The prefix of the attempts noted for a job."""
    return f"attempts/{job_id}/"


def worker_key(worker_id: str) -> str:
    """Where a worker's record lies."""
    return check_key(f"{WORKERS}{worker_id}.json")


def instance_key(instance_id: str) -> str:
    """Where it is noted what an instance is paid by, and from when to when."""
    return check_key(f"{INSTANCES}{instance_id}.json")


def history_key(minute: int) -> str:
    """Where the samples of a minute lie; minutes are counted from the epoch."""
    return f"{HISTORY}{minute:010d}.json"


def ticket_key(ticket: str) -> str:
    """Where a ticket's request is noted.

    Raises:
        ValueError: If it cannot be a ticket.
    """
    return check_key(f"{TICKETS}{ticket}")


def deleted_key(job_id: str) -> str:
    """Where it is noted that a job was deleted."""
    return f"{DELETED}{job_id}.json"


def webhook_key(job_id: str) -> str:
    """Where it is noted whom to tell when a job is done."""
    return f"{WEBHOOKS}{job_id}.json"


def revoked_session_key(ends_at: int, session_id: str) -> str:
    """Where it is noted that a session was revoked; by the time at which it would have ended by
    itself, in seconds since the epoch, so that those come first that need not be known any more.
    """
    return check_key(f"{REVOKED_SESSIONS}{ends_at:010d}-{session_id}")
