"""The `ResponseQueues` port on SQS: one queue per requester, created on demand.

Queues keep replies for an hour: a reply is only a notification, the stored outcome is the truth.

The owner's queue object writes the tag ``iraas:alive-at`` at most every five minutes, and only
while it receives: one call in five minutes per requester, and one `ListQueues` plus one
`ListQueueTags` per queue for a cleanup. Attributes are no alternative: SQS exposes neither who
polls nor when. A cleanup with a TTL under ten minutes may delete a living requester's queue.

Workers never create a queue. They cache for half a minute that one is missing, so that replies to a
departed requester cost one call per half minute instead of one each.

Not tested on the real service: built on its documentation and tested on emulators.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from iraas.backends.aws.errors import (
    QUEUE_EXISTS_CODES,
    error_code,
    require_field,
    translate_errors,
)
from iraas.backends.aws.iam.policies import DeploymentArns, queue_policy
from iraas.backends.aws.names import DEPLOYMENT_TAG, Names
from iraas.backends.aws.queues.owned_response_queue import (
    ALIVE_TAG,
    LOOKUP_ATTEMPTS,
    OwnedResponseQueue,
    update_alive_tag,
)
from iraas.backends.aws.queues.sqs_entries import MAX_MESSAGE_BYTES
from iraas.backends.aws.queues.sqs_queue import SqsQueue
from iraas.backends.aws.retries import Retries
from iraas.backends.aws.session import AwsSession
from iraas.core.ports import Queue
from iraas.errors import BackendError, QueueNotFoundError

RETENTION_S = 3600
HEARTBEAT_INTERVAL_S = 300.0
MISSING_CACHE_TTL_S = 30.0
MAX_CACHED_QUEUES = 512
"""Maximum number of requesters whose queue URLs a worker caches."""

REQUESTER_TAG = "iraas:requester"
ROLE = "response-queue"


class SqsResponseQueues:
    """The response queues of a deployment. Thread-safe; makes no call before its first use."""

    def __init__(
        self,
        session: AwsSession,
        names: Names,
        *,
        retries: Retries | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        heartbeat_interval_s: float = HEARTBEAT_INTERVAL_S,
    ) -> None:
        """Configure the queues.

        Args:
            session: Makes the AWS calls.
            names: The deployment's resource names.
            retries: Retry policy for failed batch entries.
            clock: Seconds since the epoch.
            sleep: Waits for a number of seconds until a new queue is visible.
            heartbeat_interval_s: Minimum time between two heartbeats of a requester, in seconds. A
                cleanup must allow for twice that.
        """
        self._alive_every_s = heartbeat_interval_s
        self._session = session
        self._names = names
        self._retries = retries
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, SqsQueue] = OrderedDict()

    def create(self, requester_id: str) -> Queue:
        """Create a requester's queue. See `iraas.core.ports.ResponseQueues.create`.

        Raises:
            BackendUnavailableError: Besides the usual causes: a queue of that name was deleted
                within the last 60 s. Requester ids are unique, so only a reused id leads to this.
        """
        name = self._names.reply(requester_id)
        tags = {**self._names.tags(ROLE), REQUESTER_TAG: requester_id}
        try:
            with translate_errors("sqs", f"the queue {name}", provisioned=False):
                self._session.sqs.create_queue(
                    QueueName=name, Attributes=self._attributes(name), tags=tags
                )
        except BackendError as exc:
            if error_code(exc.__cause__ or exc) not in QUEUE_EXISTS_CODES:
                raise
        queue = self._queue(name, missing_cache_ttl_s=0.0)
        self._tag_when_visible(queue)
        with self._lock:
            self._cache.pop(name, None)  # it may have cached that there was none
        return OwnedResponseQueue(
            queue, self._session, self._clock, self._sleep, self._alive_every_s
        )

    def find(self, requester_id: str) -> Queue:
        """Return a requester's queue, to reply to. See `iraas.core.ports.ResponseQueues.find`."""
        name = self._names.reply(requester_id)
        with self._lock:
            queue = self._cache.pop(name, None)
            if queue is None:
                queue = self._queue(name, missing_cache_ttl_s=MISSING_CACHE_TTL_S)
            self._cache[name] = queue
            while len(self._cache) > MAX_CACHED_QUEUES:
                self._cache.popitem(last=False)
            return queue

    def delete(self, requester_id: str) -> None:
        """Remove a requester's queue. See `iraas.core.ports.ResponseQueues.delete`."""
        self._delete(self._queue(self._names.reply(requester_id), missing_cache_ttl_s=0.0))

    def sweep(self, ttl_s: float) -> list[str]:
        """Delete abandoned queues. See `iraas.core.ports.ResponseQueues.sweep`.

        Affects only queues with both the deployment's name prefix and its tag.

        Args:
            ttl_s: Age of the last heartbeat, in seconds, from which a queue counts as abandoned.
                Under 600, a living requester's queue may be deleted.
        """
        now = self._clock()
        deleted = []
        for name in list(self._list_names()):
            queue = self._queue(name, missing_cache_ttl_s=0.0)
            try:
                tags = self._tags(queue)
                owned = tags.get(DEPLOYMENT_TAG) == self._names.deployment
                if owned and now - self._alive_at(queue, tags) > ttl_s:
                    self._delete(queue)
                    deleted.append(tags.get(REQUESTER_TAG) or name[len(self._names.reply_prefix) :])
            except QueueNotFoundError:
                continue
        return deleted

    def _queue(self, name: str, *, missing_cache_ttl_s: float) -> SqsQueue:
        return SqsQueue(
            self._session,
            name,
            provisioned=False,
            missing_cache_ttl_s=missing_cache_ttl_s,
            retries=self._retries,
        )

    def _attributes(self, name: str) -> dict[Any, str]:
        retention, size = str(RETENTION_S), str(MAX_MESSAGE_BYTES)
        attributes = {"MessageRetentionPeriod": retention, "MaximumMessageSize": size}
        if self._session.uses_tls:
            arns = DeploymentArns(self._names, self._session.account(), self._session.region)
            attributes["Policy"] = queue_policy(arns, name)
        return attributes

    def _tag_when_visible(self, queue: SqsQueue) -> None:
        """Write the first heartbeat tag once the new queue is visible."""
        for _ in range(LOOKUP_ATTEMPTS - 1):
            try:
                update_alive_tag(self._session, queue, self._clock())
            except QueueNotFoundError:
                self._sleep(1.0)
            else:
                return
        update_alive_tag(self._session, queue, self._clock())

    def _list_names(self) -> Iterator[str]:
        token: dict[str, Any] = {}
        while True:
            with translate_errors(
                "sqs", f"the queues {self._names.reply_prefix}*", provisioned=False
            ):
                page = self._session.sqs.list_queues(
                    QueueNamePrefix=self._names.reply_prefix, MaxResults=1000, **token
                )
            for url in page.get("QueueUrls", ()):
                yield url.rsplit("/", 1)[-1]
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def _tags(self, queue: SqsQueue) -> dict[str, str]:
        url = queue.url()
        with translate_errors("sqs", f"the queue {queue.name}", provisioned=False):
            return self._session.sqs.list_queue_tags(QueueUrl=url).get("Tags", {})

    def _alive_at(self, queue: SqsQueue, tags: dict[str, str]) -> float:
        """Time of the owner's last heartbeat, or else of the queue's creation."""
        try:
            return float(tags[ALIVE_TAG])
        except (KeyError, ValueError):
            url = queue.url()
            with translate_errors("sqs", f"the queue {queue.name}", provisioned=False):
                response = self._session.sqs.get_queue_attributes(
                    QueueUrl=url, AttributeNames=["CreatedTimestamp"]
                )
            attributes = require_field(response, "Attributes", "sqs", queue.name)
            return float(require_field(attributes, "CreatedTimestamp", "sqs", queue.name))

    def _delete(self, queue: SqsQueue) -> None:
        try:
            url = queue.url()
            with translate_errors("sqs", f"the queue {queue.name}", provisioned=False):
                self._session.sqs.delete_queue(QueueUrl=url)
        except QueueNotFoundError:
            return
