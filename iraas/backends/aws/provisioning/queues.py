"""The request queue and the dead-letter queue."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from iraas.backends.aws.errors import (
    QUEUE_EXISTS_CODES,
    QUEUE_MISSING_CODES,
    error_code,
    translate_errors,
)
from iraas.backends.aws.iam.policies import DeploymentArns, queue_policy
from iraas.backends.aws.provisioning.resource import ABSENT, ProvisioningContext, ResourceStatus
from iraas.backends.aws.queues.sqs_entries import MAX_MESSAGE_BYTES
from iraas.errors import BackendUnavailableError, QueueNotFoundError

MAX_RECEIVES = 10
REQUEST_RETENTION_S = 4 * 86_400
DEAD_LETTER_RETENTION_S = 14 * 86_400
"""The maximum that SQS supports."""

VISIBILITY_S = 60
LONG_POLL_S = 20
NAME_REUSE_DELAY_S = 60.0
"""Time after a queue's deletion until its name can be reused
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html)."""

_DELETED_RECENTLY = ("AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently")


@dataclass(frozen=True, slots=True)
class QueueResource:
    """One of the two permanent queues.

    Attributes:
        context: The provisioning context.
        name: Its name.
        role: Its purpose, as in its tag.
        extra_attributes: Attributes besides those common to both queues.
    """

    context: ProvisioningContext
    name: str
    role: str
    extra_attributes: Mapping[str, str] = field(default_factory=dict)
    kind: str = "queue"

    def find(self) -> ResourceStatus:
        """Look it up. A queue that is being deleted may still be found for a minute."""
        url = self._url()
        if url is None:
            return ABSENT
        try:
            with translate_errors("sqs", f"the queue {self.name}", provisioned=False):
                tags = self.context.sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
        except QueueNotFoundError:
            return ABSENT
        return self.context.status_of(tags, "TLS only; encrypted")

    def make(self) -> None:
        """Create or update it. Waits while its name cannot be reused.

        It always sends CreateQueue: a queue that is being deleted is still found for a while, but
        loses its messages.

        Raises:
            WaitTimeoutError: The name could not be reused in time.
        """
        reported = False

        def is_created() -> bool:
            nonlocal reported
            if self._create_or_update():
                return True
            if not reported:
                self.context.report(
                    f"the queue {self.name} was deleted less than a minute ago; "
                    "SQS does not allow its name to be reused earlier"
                )
            reported = True
            return False

        self.context.wait(
            is_created,
            f"the queue {self.name}",
            timeout_s=2 * NAME_REUSE_DELAY_S + 10,
            poll_interval_s=5.0,
        )

    def remove(self) -> None:
        """Remove it with all messages. Idempotent."""
        url = self._url()
        if url is None:
            return
        with translate_errors("sqs", f"the queue {self.name}", provisioned=False):
            try:
                self.context.sqs.delete_queue(QueueUrl=url)
            except Exception as exc:
                if error_code(exc) not in QUEUE_MISSING_CODES:
                    raise

    def _create_or_update(self) -> bool:
        """Create or update it; return False while a queue of that name is being deleted."""
        attributes = self._attributes()
        tags = self.context.names.tags(self.role)
        try:
            with translate_errors("sqs", f"the queue {self.name}", provisioned=False):
                try:
                    self.context.sqs.create_queue(
                        QueueName=self.name, Attributes=attributes, tags=tags
                    )
                except Exception as exc:
                    if error_code(exc) not in QUEUE_EXISTS_CODES:
                        raise
                    url = self.context.sqs.get_queue_url(QueueName=self.name)["QueueUrl"]
                    self.context.sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
        except QueueNotFoundError:
            return False
        except BackendUnavailableError as exc:
            if error_code(exc.__cause__ or exc) in _DELETED_RECENTLY:
                return False
            raise
        return True

    def _url(self) -> str | None:
        with translate_errors("sqs", f"the queue {self.name}", provisioned=False):
            try:
                return str(self.context.sqs.get_queue_url(QueueName=self.name)["QueueUrl"])
            except Exception as exc:
                if error_code(exc) in QUEUE_MISSING_CODES:
                    return None
                raise

    def _attributes(self) -> dict[str, str]:
        attributes = {
            "MaximumMessageSize": str(MAX_MESSAGE_BYTES),
            "VisibilityTimeout": str(VISIBILITY_S),
            "ReceiveMessageWaitTimeSeconds": str(LONG_POLL_S),
            "SqsManagedSseEnabled": "true",
            **self.extra_attributes,
        }
        if self.context.session.uses_tls:
            arns = self.context.arns
            attributes["Policy"] = queue_policy(arns, self.name)
        return attributes


def queue_resources(context: ProvisioningContext) -> list[QueueResource]:
    """The dead-letter queue, then the request queue that refers to it."""
    names = context.names
    dead_letter_arn = DeploymentArns(names, context.account, context.region).queue(
        names.dead_letters
    )
    redrive = json.dumps({"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": MAX_RECEIVES})
    dead_letter_attributes = {"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_S)}
    request_attributes = {
        "MessageRetentionPeriod": str(REQUEST_RETENTION_S),
        "RedrivePolicy": redrive,
    }
    return [
        QueueResource(context, names.dead_letters, "dead-letter-queue", dead_letter_attributes),
        QueueResource(context, names.requests, "request-queue", request_attributes),
    ]
