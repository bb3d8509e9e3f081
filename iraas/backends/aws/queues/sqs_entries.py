"""Conversion between messages and SQS batch entries: allowed characters, sizes, batches.

Limits:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html and
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

import math
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from iraas.core.ports import MAX_BATCH, OutboundMessage, ReceivedMessage
from iraas.errors import MessageTooLargeError

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

MAX_MESSAGE_BYTES = 1_048_576
"""Limit on one message and on one whole batch, bodies and attributes together."""
ATTRIBUTE_RESERVE_BYTES = 4_608
"""Reserved for a note (1,024 characters of up to four bytes) with its name, and for a group."""
MAX_BODY_BYTES = MAX_MESSAGE_BYTES - ATTRIBUTE_RESERVE_BYTES
MAX_NOTE_CHARACTERS = 1024
MAX_GROUP_CHARACTERS = 128
MAX_DELAY_S = 900
MAX_LEASE_S = 43_200
MAX_WAIT_S = 20
NOTE = "note"

_NOT_ALLOWED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_IN_GROUP = re.compile(r"[^!-~]")
_REPLACEMENT = "\ufffd"


def sanitize_text(text: str) -> str:
    """Replace characters that SQS rejects (most control characters, lone surrogates) by U+FFFD.

    SQS also rejects empty text, which becomes U+FFFD. Bodies encoded by iraas are ASCII JSON and
    stay unchanged.
    """
    return _NOT_ALLOWED.sub(_REPLACEMENT, text) or _REPLACEMENT


def sanitize_group(group: str) -> str:
    """Convert text to a message group id: printable ASCII without blanks, up to 128 characters."""
    return _NOT_IN_GROUP.sub("_", group)[:MAX_GROUP_CHARACTERS]


def whole_seconds(name: str, value: float, most: int) -> int:
    """Round seconds up to whole ones, as SQS requires.

    Args:
        name: The parameter's name, for the error message.
        value: Seconds.
        most: Upper limit.

    Raises:
        ValueError: The value is not in 0..most.
    """
    if not 0 <= value <= most:
        raise ValueError(f"{name} is {value}, not in 0..{most}")
    return math.ceil(value)


def to_batch_entry(message: OutboundMessage) -> "SendMessageBatchRequestEntryTypeDef":
    """Convert a message to a batch entry; `split_into_batches` sets its Id.

    Raises:
        MessageTooLargeError: The body is over `MAX_BODY_BYTES`.
        ValueError: The delay is out of range.
    """
    body = sanitize_text(message.body)
    body_bytes = _size(body)
    if body_bytes > MAX_BODY_BYTES:
        raise MessageTooLargeError(
            f"a message of {body_bytes:,} bytes exceeds the SQS limit of {MAX_BODY_BYTES:,} bytes "
            "with its note"
        )
    delay_s = whole_seconds("delay_s", message.delay_s, MAX_DELAY_S)
    entry: SendMessageBatchRequestEntryTypeDef = {"Id": "", "MessageBody": body}
    if delay_s:
        entry["DelaySeconds"] = delay_s
    if message.group:
        entry["MessageGroupId"] = sanitize_group(message.group)
    if message.note:
        note = sanitize_text(message.note[:MAX_NOTE_CHARACTERS])
        entry["MessageAttributes"] = {NOTE: {"DataType": "String", "StringValue": note}}
    return entry


def split_into_batches(
    entries: Iterable["SendMessageBatchRequestEntryTypeDef"],
) -> Iterator[list["SendMessageBatchRequestEntryTypeDef"]]:
    """Split entries into batches by count and size, in order, and number the entries of each."""
    batch: list[SendMessageBatchRequestEntryTypeDef] = []
    batch_bytes = 0
    for entry in entries:
        entry_bytes = _entry_bytes(entry)
        if batch and (len(batch) == MAX_BATCH or batch_bytes + entry_bytes > MAX_MESSAGE_BYTES):
            yield batch
            batch, batch_bytes = [], 0
        entry["Id"] = str(len(batch))
        batch.append(entry)
        batch_bytes += entry_bytes
    if batch:
        yield batch


def received(message: dict[str, Any]) -> ReceivedMessage:
    """Convert a received message. Its sender may be hostile: only the types can be relied on."""
    note = message.get("MessageAttributes", {}).get(NOTE, {}).get("StringValue", "")
    count = str(message.get("Attributes", {}).get("ApproximateReceiveCount", "1"))
    return ReceivedMessage(
        body=message.get("Body", ""),
        receipt=message["ReceiptHandle"],
        receive_count=max(1, int(count)) if count.isdecimal() else 1,
        note=note,
    )


def _entry_bytes(entry: "SendMessageBatchRequestEntryTypeDef") -> int:
    attributes = entry.get("MessageAttributes", {}).items()
    return (
        _size(entry["MessageBody"])
        + len(entry.get("MessageGroupId", ""))
        + sum(
            len(name) + len(value["DataType"]) + _size(value.get("StringValue", ""))
            for name, value in attributes
        )
    )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
