"""The `ResponseQueues` port on SQS: one queue a requester, made on demand, swept when abandoned.

A queue keeps replies for an hour: a reply only wakes somebody up, the stored outcome is the truth.

Life is a tag, ``iraas:alive-at``, that the owner's queue object writes at most every five minutes,
and only while it receives: one call in five minutes for a requester, one `ListQueues` and one
`ListQueueTags` a queue for a sweep. Attributes would not do: SQS counts neither who polls nor when.
Sweeping with less than ten minutes may take a living requester's queue.

A worker's object never makes a queue. It remembers for half a minute that one is missing, so that
replies to a requester who is gone cost one call in half a minute, and not one each.

Untried on the real service: this was built on its documentation and tested on emulators.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from iraas.backends.aws.errors import QUEUE_EXISTS_CODES, code_of, field_of, translating
from iraas.backends.aws.iam.policies import Place, queue_policy
from iraas.backends.aws.names import DEPLOYMENT_TAG, Names
from iraas.backends.aws.queues.owned_response_queue import (
    ALIVE_TAG,
    LOOKS,
    OwnedResponseQueue,
    tag_alive,
)
from iraas.backends.aws.queues.sqs_entries import MAX_MESSAGE_BYTES
from iraas.backends.aws.queues.sqs_queue import SqsQueue
from iraas.backends.aws.retries import Retries
from iraas.backends.aws.session import AwsSession
from iraas.core.ports import Queue
from iraas.errors import BackendError, QueueNotFoundError

RETENTION_S = 3600
ALIVE_EVERY_S = 300.0
REMEMBER_MISSING_S = 30.0
MAX_REMEMBERED = 512
"""Requesters whose queues' URLs a worker remembers."""

REQUESTER_TAG = "iraas:requester"
ROLE = "response-queue"


class SqsResponseQueues:
    """The response queues of a deployment. Thread-safe; makes no call before it is used."""

    def __init__(
        self,
        session: AwsSession,
        names: Names,
        *,
        retries: Retries | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        alive_every_s: float = ALIVE_EVERY_S,
    ) -> None:
        """Say whose they are.

        Args:
            session: Makes the calls.
            names: The deployment's names.
            retries: How often, and how fast, entries that failed alone are tried again.
            clock: Seconds since the epoch.
            sleep: Waits that many seconds, while a new queue settles.
            alive_every_s: Seconds between two signs of life of one requester, at least. A sweep
                must allow for twice that.
        """
        self._alive_every_s = alive_every_s
        self._session = session
        self._names = names
        self._retries = retries
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._found: OrderedDict[str, SqsQueue] = OrderedDict()

    def create(self, requester_id: str) -> Queue:
        """Make a requester's queue. See `iraas.core.ports.ResponseQueues.create`.

        Raises:
            BackendUnavailableError: Besides the usual: a queue of that name was deleted within the
                last 60 s. Ids are made once, so that only who reuses one meets this.
        """
        name = self._names.reply(requester_id)
        tags = {**self._names.tags(ROLE), REQUESTER_TAG: requester_id}
        try:
            with translating("sqs", f"the queue {name}", provisioned=False):
                self._session.sqs.create_queue(
                    QueueName=name, Attributes=self._attributes(name), tags=tags
                )
        except BackendError as exc:
            if code_of(exc.__cause__ or exc) not in QUEUE_EXISTS_CODES:
                raise
        queue = self._queue(name, remember_missing_s=0.0)
        self._settle(queue)
        with self._lock:
            self._found.pop(name, None)  # it may remember that there was none
        return OwnedResponseQueue(
            queue, self._session, self._clock, self._sleep, self._alive_every_s
        )

    def find(self, requester_id: str) -> Queue:
        """A requester's queue, to reply to. See `iraas.core.ports.ResponseQueues.find`."""
        name = self._names.reply(requester_id)
        with self._lock:
            queue = self._found.pop(name, None)
            if queue is None:
                queue = self._queue(name, remember_missing_s=REMEMBER_MISSING_S)
            self._found[name] = queue
            while len(self._found) > MAX_REMEMBERED:
                self._found.popitem(last=False)
            return queue

    def delete(self, requester_id: str) -> None:
        """Remove a requester's queue. See `iraas.core.ports.ResponseQueues.delete`."""
        self._delete(self._queue(self._names.reply(requester_id), remember_missing_s=0.0))

    def sweep(self, ttl_s: float) -> list[str]:
        """Remove abandoned queues. See `iraas.core.ports.ResponseQueues.sweep`.

        Touches only queues that carry the deployment's name and its tag. With `ttl_s` under
        600, that of a living requester may be among them.
        """
        now = self._clock()
        swept = []
        for name in list(self._listed()):
            queue = self._queue(name, remember_missing_s=0.0)
            try:
                tags = self._tags(queue)
                owned = tags.get(DEPLOYMENT_TAG) == self._names.deployment
                if owned and now - self._alive_at(queue, tags) > ttl_s:
                    self._delete(queue)
                    swept.append(tags.get(REQUESTER_TAG) or name[len(self._names.reply_prefix) :])
            except QueueNotFoundError:
                continue
        return swept

    def _queue(self, name: str, *, remember_missing_s: float) -> SqsQueue:
        return SqsQueue(
            self._session,
            name,
            provisioned=False,
            remember_missing_s=remember_missing_s,
            retries=self._retries,
        )

    def _attributes(self, name: str) -> dict[Any, str]:
        retention, size = str(RETENTION_S), str(MAX_MESSAGE_BYTES)
        attributes = {"MessageRetentionPeriod": retention, "MaximumMessageSize": size}
        if self._session.uses_tls:
            place = Place(self._names, self._session.account(), self._session.region)
            attributes["Policy"] = queue_policy(place, name)
        return attributes

    def _settle(self, queue: SqsQueue) -> None:
        """Tag a new queue as alive, once it can be found."""
        for _ in range(LOOKS - 1):
            try:
                tag_alive(self._session, queue, self._clock())
            except QueueNotFoundError:
                self._sleep(1.0)
            else:
                return
        tag_alive(self._session, queue, self._clock())

    def _listed(self) -> Iterator[str]:
        more: dict[str, Any] = {}
        while True:
            with translating("sqs", f"the queues {self._names.reply_prefix}*", provisioned=False):
                page = self._session.sqs.list_queues(
                    QueueNamePrefix=self._names.reply_prefix, MaxResults=1000, **more
                )
            for url in page.get("QueueUrls", ()):
                yield url.rsplit("/", 1)[-1]
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def _tags(self, queue: SqsQueue) -> dict[str, str]:
        url = queue.url()
        with translating("sqs", f"the queue {queue.name}", provisioned=False):
            return self._session.sqs.list_queue_tags(QueueUrl=url).get("Tags", {})

    def _alive_at(self, queue: SqsQueue, tags: dict[str, str]) -> float:
        """When the owner last showed life; its making, if it did not live to show any."""
        try:
            return float(tags[ALIVE_TAG])
        except (KeyError, ValueError):
            url = queue.url()
            with translating("sqs", f"the queue {queue.name}", provisioned=False):
                answer = self._session.sqs.get_queue_attributes(
                    QueueUrl=url, AttributeNames=["CreatedTimestamp"]
                )
            attributes = field_of(answer, "Attributes", "sqs", queue.name)
            return float(field_of(attributes, "CreatedTimestamp", "sqs", queue.name))

    def _delete(self, queue: SqsQueue) -> None:
        try:
            url = queue.url()
            with translating("sqs", f"the queue {queue.name}", provisioned=False):
                self._session.sqs.delete_queue(QueueUrl=url)
        except QueueNotFoundError:
            return
