"""Telling somebody when a job is done: noted in the records, so that it outlives the process.

At least once: whoever is told twice knows it by the job's id. A process that works on a webhook
renews its claim; when it dies, the claim runs out and another process takes the webhook over.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from iraas.core.keys import WEBHOOKS, webhook_key
from iraas.core.ports import Backend
from iraas.errors import BackendError, JobNotFoundError, ObjectNotFoundError
from iraas.monitoring.job_progress_cache import JobProgressCache

log = logging.getLogger(__name__)
MAX_ATTEMPTS = 8
CLAIM_S = 180.0
RENEW_S = 60.0
LOOK_S = 2.0
FIRST_PAUSE_S = 2.0
LONGEST_LIFE_S = 7 * 86_400.0

Deliver = Callable[[str, bytes], None]
"""Posts a body to a URL; raises OSError if it was not taken."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Whom to tell of a job's end.

    Attributes:
        job_id: The job.
        url: Where to post; checked by whoever accepted it.
        created_at: Seconds since the epoch.
        claimed_until: Until when its process has it to itself, in seconds since the epoch.
        attempts: How often it was tried in vain.
        due_at: When it is tried next, in seconds since the epoch.
    """

    job_id: str
    url: str
    created_at: float
    claimed_until: float
    attempts: int = 0
    due_at: float = 0.0

    def encode(self) -> bytes:
        """The webhook as JSON."""
        return json.dumps(asdict(self)).encode()


class WebhookDispatcher:
    """Looks after the webhooks of this process, and those that nobody else looks after.

    One thread calls `run`; `add` may be called from another.

    Args:
        backend: The deployment.
        board: Knows how far jobs are.
        deliver: Posts.
        clock: Gives seconds since the epoch.
    """

    def __init__(
        self,
        backend: Backend,
        board: JobProgressCache,
        deliver: Deliver,
        clock: Callable[[], float],
    ) -> None:
        self._backend = backend
        self._board = board
        self._deliver = deliver
        self._clock = clock
        self._own: dict[str, Webhook] = {}
        self._adopted_at = float("-inf")

    def add(self, job_id: str, url: str) -> None:
        """Have somebody told when a job is done.

        Raises:
            BackendError: The records failed.
        """
        now = self._clock()
        webhook = Webhook(job_id, url, now, claimed_until=now + CLAIM_S)
        self._backend.records.put(webhook_key(job_id), webhook.encode())
        self._own[job_id] = webhook

    def run(self) -> None:
        """Tell of the jobs that are done. Call it every few seconds.

        Raises:
            BackendError: A store failed; the next call goes on.
        """
        now = self._clock()
        if now - self._adopted_at > RENEW_S:
            self._adopted_at = now
            self._adopt()
        for webhook in list(self._own.values()):
            if webhook.claimed_until - now < CLAIM_S - RENEW_S:
                self._keep(replace(webhook, claimed_until=now + CLAIM_S))
            if webhook.due_at <= now:
                self._look(webhook)

    def _adopt(self) -> None:
        """Take over the webhooks whose process is gone."""
        for one in self._backend.records.list(WEBHOOKS):
            try:
                webhook = Webhook(**json.loads(self._backend.records.get(one.key)))
            except (ObjectNotFoundError, ValueError, TypeError):
                continue
            if webhook.job_id not in self._own and webhook.claimed_until < self._clock():
                self._keep(replace(webhook, claimed_until=self._clock() + CLAIM_S))

    def _look(self, webhook: Webhook) -> None:
        try:
            summary = self._board.view(webhook.job_id, older_than_s=LOOK_S).summary()
        except JobNotFoundError:
            self._drop(webhook)
            return
        if summary.state in {"done", "cancelled"}:
            counts = {"total": summary.job.total, "done": summary.done, "failed": summary.failed}
            self._try({"job_id": webhook.job_id, "state": summary.state, **counts}, webhook)
        elif self._clock() - webhook.created_at > LONGEST_LIFE_S:
            self._drop(webhook)

    def _try(self, event: dict[str, Any], webhook: Webhook) -> None:
        try:
            self._deliver(webhook.url, json.dumps(event).encode())
        except (OSError, ValueError) as exc:
            attempts = webhook.attempts + 1
            log.warning("webhook of job %s, attempt %d: %s", webhook.job_id, attempts, exc)
            if attempts >= MAX_ATTEMPTS:
                self._drop(webhook)
            else:
                due_at = self._clock() + FIRST_PAUSE_S * 2**attempts
                self._keep(replace(webhook, attempts=attempts, due_at=due_at))
        else:
            self._drop(webhook)

    def _keep(self, webhook: Webhook) -> None:
        self._own[webhook.job_id] = webhook
        self._backend.records.put(webhook_key(webhook.job_id), webhook.encode())

    def _drop(self, webhook: Webhook) -> None:
        self._own.pop(webhook.job_id, None)
        try:
            self._backend.records.delete([webhook_key(webhook.job_id)])
        except BackendError as exc:
            log.warning("could not remove the webhook of job %s: %s", webhook.job_id, exc)
