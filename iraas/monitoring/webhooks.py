"""Webhooks: notifications that a job is done, persisted in the records store.

Delivery is at least once; the receiver can deduplicate by the job's id. A process that works on a
webhook renews its claim; when the process dies, the claim expires and another process takes the
webhook over.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from iraas.core.json_record import write_record
from iraas.core.keys import WEBHOOKS, webhook_key
from iraas.core.ports import Backend
from iraas.errors import BackendError, JobNotFoundError, ObjectNotFoundError
from iraas.monitoring.job_progress_cache import JobProgressCache

log = logging.getLogger(__name__)
MAX_ATTEMPTS = 8
CLAIM_S = 180.0
RENEW_S = 60.0
MAX_PROGRESS_AGE_S = 2.0
FIRST_RETRY_S = 2.0
MAX_AGE_S = 7 * 86_400.0

Deliver = Callable[[str, bytes], None]
"""Posts a body to a URL; raises OSError if it was not accepted."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """The record of a webhook.

    Attributes:
        job_id: The job.
        url: The URL to post to; validated when the webhook was accepted.
        created_at: Seconds since the epoch.
        claimed_until: When the process's claim expires, in seconds since the epoch.
        attempts: The number of failed attempts.
        due_at: The time of the next attempt, in seconds since the epoch.
    """

    job_id: str
    url: str
    created_at: float
    claimed_until: float
    attempts: int = 0
    due_at: float = 0.0

    def encode(self) -> bytes:
        """Encode the record as JSON."""
        return write_record(self)


class WebhookDispatcher:
    """Delivers the webhooks that this process claimed, and takes over abandoned ones.

    One thread calls `run`; `add` may be called from another.

    Args:
        backend: The deployment.
        progress: The cache of the jobs' progress.
        deliver: Posts a body to a URL.
        clock: Returns seconds since the epoch.
    """

    def __init__(
        self,
        backend: Backend,
        progress: JobProgressCache,
        deliver: Deliver,
        clock: Callable[[], float],
    ) -> None:
        self._backend = backend
        self._progress = progress
        self._deliver = deliver
        self._clock = clock
        self._own: dict[str, Webhook] = {}
        self._adopted_at = float("-inf")

    def add(self, job_id: str, url: str) -> None:
        """Register a webhook for a job; replaces an earlier one.

        Args:
            job_id: The job.
            url: The URL to post to, validated.

        Raises:
            BackendError: The records store failed.
        """
        now = self._clock()
        webhook = Webhook(job_id, url, now, claimed_until=now + CLAIM_S)
        self._backend.records.put(webhook_key(job_id), webhook.encode())
        self._own[job_id] = webhook

    def run(self) -> None:
        """Deliver the webhooks of finished jobs. Call it every few seconds.

        Raises:
            MessageError: A job's record, its manifest or a batch of refused images is corrupt.
            BackendError: A store failed; the next call continues.
        """
        now = self._clock()
        if now - self._adopted_at > RENEW_S:
            self._adopted_at = now
            self._adopt()
        for webhook in list(self._own.values()):
            if webhook.claimed_until - now < CLAIM_S - RENEW_S:
                self._keep(replace(webhook, claimed_until=now + CLAIM_S))
            if webhook.due_at <= now:
                self._poll(webhook)

    def _adopt(self) -> None:
        """Take over the webhooks whose claim has expired."""
        for entry in self._backend.records.list(WEBHOOKS):
            try:
                webhook = Webhook(**json.loads(self._backend.records.get(entry.key)))
            except (ObjectNotFoundError, ValueError, TypeError):
                continue
            if webhook.job_id not in self._own and webhook.claimed_until < self._clock():
                self._keep(replace(webhook, claimed_until=self._clock() + CLAIM_S))

    def _poll(self, webhook: Webhook) -> None:
        try:
            view = self._progress.view(webhook.job_id, older_than_s=MAX_PROGRESS_AGE_S)
            summary = view.summary()
        except JobNotFoundError:
            self._drop(webhook)
            return
        if summary.state in {"done", "cancelled"}:
            counts = {"total": summary.job.total, "done": summary.done, "failed": summary.failed}
            self._try({"job_id": webhook.job_id, "state": summary.state, **counts}, webhook)
        elif self._clock() - webhook.created_at > MAX_AGE_S:
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
                due_at = self._clock() + FIRST_RETRY_S * 2**attempts
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
