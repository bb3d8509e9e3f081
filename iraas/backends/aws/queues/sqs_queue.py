"""The `Queue` port on SQS standard queues.

SQS behaviour where the port leaves it open:

- Seconds are whole: leases, waits and delays are rounded up.
- Stale receipts: SQS says that deleting by one "might" not delete. Until the message has been
  received again, its last receipt stays valid after the lease has ended.
- A lease can be extended up to 12 hours after the receive; after that `extend` has no effect.
- Groups make a standard queue a fair queue: a group with many messages in flight yields to others.
- Counts lag by a minute or more, so `depth` proves nothing.

Not tested on the real service: built on its documentation and tested on emulators.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from iraas.backends.aws.errors import (
    STALE_RECEIPT_CODES,
    error_code,
    error_for_code,
    iam_action,
    is_transient,
    require_field,
    translate_errors,
)
from iraas.backends.aws.queues.sqs_entries import (
    MAX_BODY_BYTES,
    MAX_LEASE_S,
    MAX_WAIT_S,
    NOTE,
    received,
    split_into_batches,
    to_batch_entry,
    whole_seconds,
)
from iraas.backends.aws.retries import Retries, RetryableError
from iraas.backends.aws.session import AwsSession
from iraas.core.ports import MAX_BATCH, OutboundMessage, QueueDepth, ReceivedMessage
from iraas.errors import BackendError, QueueNotFoundError

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

Entry = Any
"""A batch entry: a dictionary with an Id; its type differs by operation."""

DEPTH_LAG_S = 150.0
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class SqsQueue:
    """An SQS standard queue. Thread-safe; makes no call before its first use.

    The SDK retries each call within `ClientLimits`; entries that fail in a successful batch are
    retried separately, within `Retries`.
    """

    def __init__(
        self,
        session: AwsSession,
        name: str,
        *,
        provisioned: bool = True,
        missing_cache_ttl_s: float = 0.0,
        retries: Retries | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Configure the queue; its URL is looked up on first use.

        Args:
            session: Makes the AWS calls.
            name: The queue's name.
            provisioned: Whether `iraas provision` creates it; decides which error a missing one
                raises.
            missing_cache_ttl_s: Seconds without calls after the queue was found missing.
            retries: Retry policy for failed batch entries.
            clock: Monotonic clock, in seconds.
        """
        self._session = session
        self._name = name
        self._provisioned = provisioned
        self._remember_missing_s = missing_cache_ttl_s
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
        """Maximum size of a body, in bytes of UTF-8: 1 MiB less a reserve for note and group."""
        return MAX_BODY_BYTES

    @property
    def depth_lag_s(self) -> float:
        """Maximum expected age of the counts, in seconds.

        SQS promises no bound; its documentation mentions a minute and more (GetQueueAttributes,
        "eventually consistent").
        """
        return DEPTH_LAG_S

    def url(self) -> str:
        """The queue's URL, looked up once.

        Raises:
            QueueNotFoundError: There is no such queue.
        """
        with self._lock:
            if self._clock() < self._missing_until:
                raise QueueNotFoundError(f"{self._description} does not exist")
            if not self._known_url:
                self._known_url = self._look_up()
            return self._known_url

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        """Send messages in concurrent batches. See `iraas.core.ports.Queue.send`."""
        batches = list(split_into_batches([to_batch_entry(message) for message in messages]))
        self._session.map_concurrently(
            lambda batch: self._process_batch("SendMessage", batch), batches
        )

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive messages with one long poll. See `iraas.core.ports.Queue.receive`."""
        if not 1 <= max_messages <= MAX_BATCH:
            raise ValueError(f"max_messages is {max_messages}, not in 1..{MAX_BATCH}")
        response = self._call(
            lambda sqs: sqs.receive_message,
            MaxNumberOfMessages=max_messages,
            VisibilityTimeout=whole_seconds("lease_s", lease_s, MAX_LEASE_S),
            WaitTimeSeconds=whole_seconds("wait_s", wait_s, MAX_WAIT_S),
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
            MessageAttributeNames=[NOTE],
        )
        return [received(message) for message in response.get("Messages", ())]

    def delete(self, receipts: Sequence[str], took_s: Sequence[float] | None = None) -> None:
        """Delete messages. See `iraas.core.ports.Queue.delete`."""
        self._process_receipts("DeleteMessage", receipts)

    def extend(self, receipts: Sequence[str], lease_s: float) -> None:
        """Extend leases to end `lease_s` seconds from now. See `iraas.core.ports.Queue.extend`."""
        timeout_s = whole_seconds("lease_s", lease_s, MAX_LEASE_S)
        self._process_receipts("ChangeMessageVisibility", receipts, VisibilityTimeout=timeout_s)

    def release(self, receipts: Sequence[str]) -> None:
        """End leases now. See `iraas.core.ports.Queue.release`."""
        self._process_receipts("ChangeMessageVisibility", receipts, VisibilityTimeout=0)

    def depth(self) -> QueueDepth:
        """Count the messages approximately. See `iraas.core.ports.Queue.depth`."""
        response = self._call(lambda sqs: sqs.get_queue_attributes, AttributeNames=list(_COUNTS))
        counts = require_field(response, "Attributes", "sqs", self._description)
        return QueueDepth(
            *(int(require_field(counts, name, "sqs", self._description)) for name in _COUNTS)
        )

    def _process_receipts(self, operation: str, receipts: Sequence[str], **fields: int) -> None:
        unique = [receipt for receipt in dict.fromkeys(receipts) if receipt]
        batches = [
            [
                {"Id": str(number), "ReceiptHandle": receipt, **fields}
                for number, receipt in enumerate(unique[start : start + MAX_BATCH])
            ]
            for start in range(0, len(unique), MAX_BATCH)
        ]
        self._session.map_concurrently(lambda batch: self._process_batch(operation, batch), batches)

    def _process_batch(self, operation: str, batch: list[Entry]) -> None:
        """Run an operation on a batch, and retry the entries that failed with a transient error."""
        remaining = {entry["Id"]: entry for entry in batch}

        def try_remaining() -> None:
            nonlocal remaining
            remaining, why = self._try_batch(operation, remaining)
            if remaining:
                raise RetryableError(
                    f"{iam_action('sqs', operation)} on {self._description} failed for "
                    f"{len(remaining)} of {len(batch)} messages: {why}",
                    remedy="Try again later.",
                )

        self._retries.run(try_remaining)

    def _try_batch(self, operation: str, entries: dict[str, Entry]) -> tuple[dict[str, Entry], str]:
        """Run the operation once; return the entries to retry, and the last failure."""
        try:
            response = self._call(
                lambda sqs: _batch_method(sqs, operation), Entries=[*entries.values()]
            )
        except BackendError as exc:
            stale = error_code(exc.__cause__ or exc) in STALE_RECEIPT_CODES
            if operation == "SendMessage" or not stale:
                raise
            # Emulators reject the whole batch for one stale receipt: find it.
            if len(entries) > 1:
                for entry_id, entry in entries.items():
                    self._process_batch(operation, [entry | {"Id": entry_id}])
            return {}, ""
        done = {entry_result["Id"] for entry_result in response.get("Successful", ())}
        why = "no result was returned for them"
        for failure in response.get("Failed", ()):
            why = f"{failure.get('Message') or ''} ({failure.get('Code')})".strip()
            if self._is_done(operation, failure):
                done.add(failure["Id"])
        return {key: entry for key, entry in entries.items() if key not in done}, why

    def _is_done(self, operation: str, failure: dict[str, Any]) -> bool:
        """Return whether a failed entry needs no retry.

        Raises:
            IraasError: The entry can never succeed.
        """
        code, text = str(failure.get("Code", "")), str(failure.get("Message", ""))
        if operation != "SendMessage" and code in STALE_RECEIPT_CODES:
            return True
        if failure.get("SenderFault") and not is_transient(code):
            raise error_for_code(code, text, iam_action("sqs", operation), self._description)
        return False

    def _call(self, method: "Callable[[SQSClient], Callable[..., Any]]", **parameters: Any) -> Any:
        url = self.url()
        try:
            with self._translate_errors():
                return method(self._session.sqs)(QueueUrl=url, **parameters)
        except QueueNotFoundError:
            with self._lock:
                self._note_missing()
            raise

    def _look_up(self) -> str:
        try:
            with self._translate_errors():
                response = self._session.sqs.get_queue_url(QueueName=self._name)
        except QueueNotFoundError:
            self._note_missing()
            raise
        return str(require_field(response, "QueueUrl", "sqs", self._description))

    def _note_missing(self) -> None:
        self._known_url = ""
        self._missing_until = self._clock() + self._remember_missing_s

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_errors("sqs", self._description, provisioned=self._provisioned)

    @property
    def _description(self) -> str:
        return f"the queue {self._name}"


def _batch_method(sqs: "SQSClient", operation: str) -> Callable[..., Any]:
    if operation == "SendMessage":
        return sqs.send_message_batch
    if operation == "DeleteMessage":
        return sqs.delete_message_batch
    return sqs.change_message_visibility_batch
