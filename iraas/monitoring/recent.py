"""What happened last: jobs and the controller's decisions, the latest first."""

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
    """The controller's decisions that changed something, the latest first.

    Raises:
        BackendError: The records failed.
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
    board: JobProgressCache,
    clock: Callable[[], float],
    *,
    count: int,
    look_back_s: float = 7 * DAY_S,
) -> list[JobSummary]:
    """The jobs that were sent last, the latest first; their progress may be some seconds old.

    Raises:
        BackendError: A store failed.
    """
    found = []
    for key in _latest(backend, JOBS, clock() - look_back_s, count):
        job_id = key[len(JOBS) : -len(".json")]
        try:
            if is_job_id(job_id):
                found.append(board.view(job_id, older_than_s=MAX_AGE_S).summary())
        except (JobNotFoundError, MessageError):
            continue
    return found


def _latest(backend: Backend, prefix: str, since: float, count: int) -> list[str]:
    """The last keys under a prefix whose names begin with the time they were made."""
    after = f"{prefix}{new_ulid(max(0.0, since), lambda _: 0)}"
    keys = deque((one.key for one in backend.records.list(prefix, after=after)), maxlen=count)
    return list(reversed(keys))
