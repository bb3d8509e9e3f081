"""The keys of all objects in the stores. A key consists of ids, never of a file's name.

::

    inputs   <job>/<shard>/<index>.<ext>           the image as it was sent
    outputs  <job>/<shard>/<index>.json            its outcome
             <job>/0-refused/<first>-<last>.jsonl  outcomes of images that were never sent
    records  jobs/<job>.json                       the job's record
             manifests/<job>/<page>.jsonl          its images, one page per file
             attempts/<job>/<index>/<n>            a note before an image is tried alone
             workers/<worker>.json                 the last heartbeat of a worker
             instances/<instance>.json             an instance's type, start and end, for costs
             controller/…                          the controller's decisions with their reasons
             history/<minute>.json                 samples of the deployment, for charts
             tickets/<ticket>                      the request that a ticket stands for
             webhooks/<job>.json                   the webhook to call when a job is done
             revoked-sessions/<end>-<session>      a browser's session that was logged out
             deleted/<job>.json                    the tombstone of a deleted job

Refused images sort before the shards, so that a listing gives them first. A shard holds a thousand
objects, so that no folder becomes too large to list.
"""

import re

from iraas.core.ids import split_request_id

SHARD_SIZE = 1000
JOBS = "jobs/"
MAX_ATTEMPTS = 10
"""The maximum number of attempts noted for one request."""

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
    """Return a key unchanged if every store accepts it.

    Raises:
        ValueError: It is empty, too long, or has a segment that is unsafe in a path.
    """
    if len(key) > MAX_KEY_CHARACTERS or _KEY.fullmatch(key) is None:
        raise ValueError(f"{key[:80]!r} is not a store key")
    return key


def _stem(request_id: str) -> str:
    job_id, index = split_request_id(request_id)
    return f"{job_id}/{index // SHARD_SIZE:05d}/{index:08d}"


def input_key(request_id: str, extension: str) -> str:
    """Return the input-store key of a request's image.

    Args:
        request_id: The request.
        extension: The image's file extension, without the dot.
    """
    return check_key(f"{_stem(request_id)}.{extension}")


def outcome_key(request_id: str) -> str:
    """Return the output-store key of a request's outcome."""
    return f"{_stem(request_id)}.json"


def index_of_outcome(key: str) -> int | None:
    """Return the index of the request whose outcome has this key; None for any other key."""
    name = key.rsplit("/", 1)[-1]
    return int(name[:-5]) if re.fullmatch(r"[0-9]{8}\.json", name) else None


def outcomes_of(job_id: str) -> str:
    """Return the prefix of a job's outcomes and, in the input store, of its images."""
    return f"{job_id}/"


def refusals_key(job_id: str, first: int, last: int) -> str:
    """Return the output-store key of a batch of refused images.

    Args:
        job_id: The job.
        first: The lowest index in the batch.
        last: The highest index in the batch.
    """
    return f"{outcomes_of(job_id)}0-refused/{first:08d}-{last:08d}.jsonl"


def refusals_range(key: str) -> tuple[int, int] | None:
    """Return the lowest and highest index of a batch of refused images; None for other keys."""
    match = _REFUSALS.search(key)
    return (int(match[1]), int(match[2])) if match else None


def job_key(job_id: str) -> str:
    """Return the key of a job's record."""
    return f"{JOBS}{job_id}.json"


def manifest_prefix(job_id: str) -> str:
    """Return the prefix of a job's manifest pages."""
    return f"manifests/{job_id}/"


def manifest_key(job_id: str, page: int) -> str:
    """Return the key of a page of a job's manifest, counted from zero."""
    return f"{manifest_prefix(job_id)}{page:06d}.jsonl"


def attempt_key(request_id: str, number: int) -> str:
    """Return the key of the note that is written before a request is tried alone.

    Args:
        request_id: The request.
        number: The attempt, from 1.
    """
    job_id, index = split_request_id(request_id)
    return f"attempts/{job_id}/{index:08d}/{number:02d}"


def attempts_of(job_id: str) -> str:
    """Return the prefix of the attempts noted for a job."""
    return f"attempts/{job_id}/"


def worker_key(worker_id: str) -> str:
    """Return the key of a worker's record."""
    return check_key(f"{WORKERS}{worker_id}.json")


def instance_key(instance_id: str) -> str:
    """Return the key of an instance's record."""
    return check_key(f"{INSTANCES}{instance_id}.json")


def history_key(minute: int) -> str:
    """Return the key of a minute's samples; minutes are counted from the epoch."""
    return f"{HISTORY}{minute:010d}.json"


def ticket_key(ticket: str) -> str:
    """Return the key of a ticket.

    Raises:
        ValueError: It cannot be a ticket.
    """
    return check_key(f"{TICKETS}{ticket}")


def deleted_key(job_id: str) -> str:
    """Return the key of a deleted job's tombstone."""
    return f"{DELETED}{job_id}.json"


def webhook_key(job_id: str) -> str:
    """Return the key of a job's webhook."""
    return f"{WEBHOOKS}{job_id}.json"


def revoked_session_key(ends_at: int, session_id: str) -> str:
    """Return the key of a revoked session.

    Keys sort by expiry, so that a listing gives the expired ones first.

    Args:
        ends_at: When the session would have expired, in seconds since the epoch.
        session_id: The session.
    """
    return check_key(f"{REVOKED_SESSIONS}{ends_at:010d}-{session_id}")
