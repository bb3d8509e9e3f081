"""Recent jobs and recent decisions of the controller, latest first."""

from collections import deque
from collections.abc import Callable

from iraas.core.ids import is_job_id, new_ulid
from iraas.core.keys import DECISIONS, JOBS
from iraas.core.ports import Backend
from iraas.core.records import ScalingDecision, decode_decision
from iraas.errors import JobNotFoundError, MessageError, ObjectNotFoundError
from iraas.monitoring.job_progress import JobSummary
from iraas.monitoring.job_progress_cache import JobProgressCache

DAY_S = 86_400.0
MAX_AGE_S = 10.0


def recent_decisions(
    backend: Backend, clock: Callable[[], float], *, count: int, look_back_s: float = DAY_S
) -> list[ScalingDecision]:
    """Return the controller's recent decisions that changed something, latest first.

    Args:
        backend: The deployment.
        clock: Returns seconds since the epoch.
        count: The maximum number of decisions.
        look_back_s: Their maximum age, in seconds.

    Raises:
        BackendError: The records store failed.
    """
    found = []
    for key in _latest(backend, DECISIONS, clock() - look_back_s, count):
        try:
            found.append(decode_decision(backend.records.get(key)))
        except (ObjectNotFoundError, MessageError):
            continue
    return found


def recent_jobs(
    backend: Backend,
    progress: JobProgressCache,
    clock: Callable[[], float],
    *,
    count: int,
    look_back_s: float = 7 * DAY_S,
) -> list[JobSummary]:
    """Return the recent jobs, latest first; their progress may be `MAX_AGE_S` seconds old.

    Args:
        backend: The deployment.
        progress: The cache of the jobs' progress.
        clock: Returns seconds since the epoch.
        count: The maximum number of jobs.
        look_back_s: Their maximum age, in seconds.

    Raises:
        BackendError: A store failed.
    """
    found = []
    for key in _latest(backend, JOBS, clock() - look_back_s, count):
        job_id = key[len(JOBS) : -len(".json")]
        try:
            if is_job_id(job_id):
                found.append(progress.view(job_id, older_than_s=MAX_AGE_S).summary())
        except (JobNotFoundError, MessageError):
            continue
    return found


def _latest(backend: Backend, prefix: str, since: float, count: int) -> list[str]:
    """Return the last `count` keys under a prefix whose names are ULIDs, latest first."""
    after = f"{prefix}{new_ulid(max(0.0, since), lambda _: 0)}"
    entries = deque(backend.records.list(prefix, after=after), maxlen=count)
    return [entry.key for entry in reversed(entries)]
