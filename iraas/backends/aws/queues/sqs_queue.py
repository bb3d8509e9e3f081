"""The `Queue` port on SQS standard queues.

What the port leaves open and SQS decides:

- Seconds are whole: leases, waits and delays are rounded up.
- A stale receipt: SQS says that such a delete "might" not delete. Until the message has been
  received again, its last receipt stays good after the lease has ended.
- A lease can be extended up to 12 hours after the receive; from then on `extend` does nothing.
- Groups make a standard queue a fair queue: a group with many messages in flight waits a little for
  the others, when there are others.
- Counts lag, by a minute and more. `depth` is no proof of anything.

Untried on the real service: this was built on its documentation and tested on emulators.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from iraas.backends.aws import error_codes
from iraas.backends.aws.errors import (
    action_of,
    code_of,
    field_of,
    for_code,
    is_for_now,
    translating,
)
from iraas.backends.aws.queues.sqs_entries import (
    MAX_BODY_BYTES,
    MAX_LEASE_S,
    MAX_WAIT_S,
    NOTE,
    batches_of,
    entry_of,
    received,
    whole_seconds,
)
from iraas.backends.aws.retries import Retries, RetryableError
from iraas.backends.aws.session import AwsSession
from iraas.core.ports import MAX_BATCH, OutboundMessage, QueueDepth, ReceivedMessage
from iraas.errors import BackendError, QueueNotFoundError

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

Entry = Any
"""An entry of a batch: a dictionary with an Id; its type differs by operation."""

DEPTH_LAG_S = 150.0
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class SqsQueue:
    """A standard queue of SQS. Thread-safe; makes no call before it is used.

    Each call is tried again by the SDK within `ClientLimits`; entries that fail in a batch that
    succeeds are tried again alone, within `Retries`.
    """

    def __init__(
        self,
        session: AwsSession,
        name: str,
        *,
        provisioned: bool = True,
        remember_missing_s: float = 0.0,
        retries: Retries | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Name the queue; its URL is looked up once, when it is first needed.

        Args:
            session: Makes the calls.
            name: The queue's name.
            provisioned: Whether `iraas provision` makes it: a missing one is then that error, too.
            remember_missing_s: How long no call is made once the queue was found missing.
            retries: How often, and how fast, entries that failed alone are tried again.
            clock: Seconds that never go back.
        """
        self._session = session
        self._name = name
        self._provisioned = provisioned
        self._remember_missing_s = remember_missing_s
        self._retries = retries or Retries()
        self._clock = clock
        self._lock = threading.Lock()
        self._known_url = ""
        self._missing_until = float("-inf")

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._name

    @property
    def max_body_bytes(self) -> int:
        """The longest body, in bytes of UTF-8: 1 MiB less the room for a note and a group."""
        return MAX_BODY_BYTES

    @property
    def depth_lag_s(self) -> float:
        """How old the counts may be. SQS promises no bound; its documentation speaks of a minute
        and more (GetQueueAttributes, "eventually consistent").
        """
        return DEPTH_LAG_S

    def url(self) -> str:
        """The queue's URL, looked up once.

        Raises:
            QueueNotFoundError: There is no such queue.
        """
        with self._lock:
            if self._clock() < self._missing_until:
                raise QueueNotFoundError(f"{self._described} does not exist")
            if not self._known_url:
                self._known_url = self._look_up()
            return self._known_url

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        """Send messages, in batches side by side. See `iraas.core.ports.Queue.send`."""
        batches = list(batches_of([entry_of(message) for message in messages]))
        self._session.map_concurrently(lambda batch: self._settle("SendMessage", batch), batches)

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive messages by one long poll. See `iraas.core.ports.Queue.receive`."""
        if not 1 <= max_messages <= MAX_BATCH:
            raise ValueError(f"max_messages is {max_messages}, not in 1..{MAX_BATCH}")
        answer = self._call(
            lambda sqs: sqs.receive_message,
            MaxNumberOfMessages=max_messages,
            VisibilityTimeout=whole_seconds("lease_s", lease_s, MAX_LEASE_S),
            WaitTimeSeconds=whole_seconds("wait_s", wait_s, MAX_WAIT_S),
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
            MessageAttributeNames=[NOTE],
        )
        return [received(message) for message in answer.get("Messages", ())]

    def delete(self, receipts: Sequence[str], took_s: Sequence[float] | None = None) -> None:
        """Delete messages for good. See `iraas.core.ports.Queue.delete`."""
        self._settle_receipts("DeleteMessage", receipts)

    def extend(self, receipts: Sequence[str], lease_s: float) -> None:
        """Let leases end so many seconds from now. See `iraas.core.ports.Queue.extend`."""
        timeout_s = whole_seconds("lease_s", lease_s, MAX_LEASE_S)
        self._settle_receipts("ChangeMessageVisibility", receipts, VisibilityTimeout=timeout_s)

    def release(self, receipts: Sequence[str]) -> None:
        """End leases now. See `iraas.core.ports.Queue.release`."""
        self._settle_receipts("ChangeMessageVisibility", receipts, VisibilityTimeout=0)

    def depth(self) -> QueueDepth:
        """Count the messages, about. See `iraas.core.ports.Queue.depth`."""
        answer = self._call(lambda sqs: sqs.get_queue_attributes, AttributeNames=list(_COUNTS))
        counts = field_of(answer, "Attributes", "sqs", self._described)
        return QueueDepth(
            *(int(field_of(counts, name, "sqs", self._described)) for name in _COUNTS)
        )

    def _settle_receipts(self, operation: str, receipts: Sequence[str], **more: int) -> None:
        unique = [receipt for receipt in dict.fromkeys(receipts) if receipt]
        batches = [
            [
                {"Id": str(number), "ReceiptHandle": receipt, **more}
                for number, receipt in enumerate(unique[start : start + MAX_BATCH])
            ]
            for start in range(0, len(unique), MAX_BATCH)
        ]
        self._session.map_concurrently(lambda batch: self._settle(operation, batch), batches)

    def _settle(self, operation: str, batch: list[Entry]) -> None:
        """Do an operation on a batch, and again on those entries of it that failed for now."""
        left = {entry["Id"]: entry for entry in batch}

        def try_rest() -> None:
            nonlocal left
            left, why = self._try_batch(operation, left)
            if left:
                raise RetryableError(
                    f"{action_of('sqs', operation)} on {self._described} failed for "
                    f"{len(left)} of {len(batch)} messages: {why}",
                    remedy="Try again later.",
                )

        self._retries.run(try_rest)

    def _try_batch(self, operation: str, entries: dict[str, Entry]) -> tuple[dict[str, Entry], str]:
        """Do it once; give back the entries to try again, and why."""
        try:
            answer = self._call(
                lambda sqs: _batch_method(sqs, operation), Entries=[*entries.values()]
            )
        except BackendError as exc:
            stale = code_of(exc.__cause__ or exc) in error_codes.STALE_RECEIPT
            if operation == "SendMessage" or not stale:
                raise
            # One bad receipt spoilt the whole batch (emulators do that): find it.
            if len(entries) > 1:
                for identity, entry in entries.items():
                    self._settle(operation, [entry | {"Id": identity}])
            return {}, ""
        done = {one["Id"] for one in answer.get("Successful", ())}
        why = "no answer came for them"
        for failure in answer.get("Failed", ()):
            why = f"{failure.get('Message') or ''} ({failure.get('Code')})".strip()
            if self._is_settled(operation, failure):
                done.add(failure["Id"])
        return {key: entry for key, entry in entries.items() if key not in done}, why

    def _is_settled(self, operation: str, failure: dict[str, Any]) -> bool:
        """Tell whether nothing is left to do for an entry that failed; raise if it never will."""
        code, text = str(failure.get("Code", "")), str(failure.get("Message", ""))
        if operation != "SendMessage" and code in error_codes.STALE_RECEIPT:
            return True
        if failure.get("SenderFault") and not is_for_now(code):
            raise for_code(code, text, action_of("sqs", operation), self._described)
        return False

    def _call(self, method: "Callable[[SQSClient], Callable[..., Any]]", **parameters: Any) -> Any:
        url = self.url()
        try:
            with self._translating():
                return method(self._session.sqs)(QueueUrl=url, **parameters)
        except QueueNotFoundError:
            with self._lock:
                self._note_missing()
            raise

    def _look_up(self) -> str:
        try:
            with self._translating():
                answer = self._session.sqs.get_queue_url(QueueName=self._name)
        except QueueNotFoundError:
            self._note_missing()
            raise
        return str(field_of(answer, "QueueUrl", "sqs", self._described))

    def _note_missing(self) -> None:
        self._known_url = ""
        self._missing_until = self._clock() + self._remember_missing_s

    def _translating(self) -> AbstractContextManager[None]:
        return translating("sqs", self._described, provisioned=self._provisioned)

    @property
    def _described(self) -> str:
        return f"the queue {self._name}"


def _batch_method(sqs: "SQSClient", operation: str) -> Callable[..., Any]:
    if operation == "SendMessage":
        return sqs.send_message_batch
    if operation == "DeleteMessage":
        return sqs.delete_message_batch
    return sqs.change_message_visibility_batch
