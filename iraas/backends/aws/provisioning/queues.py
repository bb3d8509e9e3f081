"""The request queue and the dead-letter queue."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iraas.backends.aws.errors import QUEUE_EXISTS_CODES, QUEUE_MISSING_CODES, code_of, translating
from iraas.backends.aws.iam.policies import Place, queue_policy
from iraas.backends.aws.provisioning.resource import ABSENT, Found, ProvisioningContext
from iraas.backends.aws.queues.sqs_entries import MAX_MESSAGE_BYTES
from iraas.errors import BackendUnavailableError, QueueNotFoundError

MAX_RECEIVES = 10
REQUEST_RETENTION_S = 4 * 86_400
DEAD_LETTER_RETENTION_S = 14 * 86_400
"""The longest that SQS keeps a message."""

VISIBILITY_S = 60
LONG_POLL_S = 20
REUSE_S = 60.0
"""A queue's name can be used again this long after its deletion
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html)."""

_DELETED_RECENTLY = ("AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently")


@dataclass(frozen=True, slots=True)
class QueuePart:
    """One of the two queues that a deployment has for good.

    Attributes:
        site: Where it is.
        name: Its name.
        role: What it is for, as its tag says.
        own: Attributes that it does not share with the other one.
    """

    site: ProvisioningContext
    name: str
    role: str
    own: Mapping[str, str] = field(default_factory=dict)
    kind: str = "queue"

    @property
    def _sqs(self) -> Any:
        return self.site.session.client("sqs")

    def find(self) -> Found:
        """Look for it. One that is being deleted may still be found, for a minute."""
        url = self._url()
        if url is None:
            return ABSENT
        try:
            with translating("sqs", f"the queue {self.name}", provisioned=False):
                tags = self._sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
        except QueueNotFoundError:
            return ABSENT
        return self.site.found(tags, "TLS only; encrypted")

    def make(self) -> None:
        """Make it, or bring its attributes up to date. Waits while its name cannot be reused.

        It always asks to create: a queue that is being deleted is found for a while, and would
        take its messages along.

        Raises:
            WaitTimeoutError: The name could not be reused in time.
        """
        told = False

        def made() -> bool:
            nonlocal told
            if self._create_or_update():
                return True
            if not told:
                self.site.report(
                    f"the queue {self.name} was deleted less than a minute ago; "
                    "SQS lets its name rest for that long"
                )
            told = True
            return False

        self.site.wait(made, f"the queue {self.name}", at_most_s=2 * REUSE_S + 10, every_s=5.0)

    def remove(self) -> None:
        """Remove it with all messages. Idempotent."""
        url = self._url()
        if url is None:
            return
        with translating("sqs", f"the queue {self.name}", provisioned=False):
            try:
                self._sqs.delete_queue(QueueUrl=url)
            except Exception as exc:
                if code_of(exc) not in QUEUE_MISSING_CODES:
                    raise

    def _create_or_update(self) -> bool:
        """Make it, or update the one that is there; False if one of the name is just going."""
        attributes = self._attributes()
        tags = self.site.names.tags(self.role)
        try:
            with translating("sqs", f"the queue {self.name}", provisioned=False):
                try:
                    self._sqs.create_queue(QueueName=self.name, Attributes=attributes, tags=tags)
                except Exception as exc:
                    if code_of(exc) not in QUEUE_EXISTS_CODES:
                        raise
                    url = self._sqs.get_queue_url(QueueName=self.name)["QueueUrl"]
                    self._sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
        except QueueNotFoundError:
            return False
        except BackendUnavailableError as exc:
            if code_of(exc.__cause__ or exc) in _DELETED_RECENTLY:
                return False
            raise
        return True

    def _url(self) -> str | None:
        with translating("sqs", f"the queue {self.name}", provisioned=False):
            try:
                return str(self._sqs.get_queue_url(QueueName=self.name)["QueueUrl"])
            except Exception as exc:
                if code_of(exc) in QUEUE_MISSING_CODES:
                    return None
                raise

    def _attributes(self) -> dict[str, str]:
        attributes = {
            "MaximumMessageSize": str(MAX_MESSAGE_BYTES),
            "VisibilityTimeout": str(VISIBILITY_S),
            "ReceiveMessageWaitTimeSeconds": str(LONG_POLL_S),
            "SqsManagedSseEnabled": "true",
            **self.own,
        }
        if self.site.session.uses_tls:
            place = Place(self.site.names, self.site.account, self.site.region)
            attributes["Policy"] = queue_policy(place, self.name)
        return attributes


def queue_parts(site: ProvisioningContext) -> list[QueuePart]:
    """The dead-letter queue, then the request queue that feeds it."""
    names = site.names
    dead = Place(names, site.account, site.region).queue(names.dead_letters)
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": MAX_RECEIVES})
    keep_dead = {"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_S)}
    keep = {"MessageRetentionPeriod": str(REQUEST_RETENTION_S), "RedrivePolicy": redrive}
    return [
        QueuePart(site, names.dead_letters, "dead-letter-queue", keep_dead),
        QueuePart(site, names.requests, "request-queue", keep),
    ]
