"""Encoding of messages for SQS."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iraas.backends.aws.queues.sqs_entries import (
    MAX_BODY_BYTES,
    MAX_MESSAGE_BYTES,
    received,
    sanitize_group,
    sanitize_text,
    split_into_batches,
    to_batch_entry,
    whole_seconds,
)
from iraas.core.ports import OutboundMessage
from iraas.errors import MessageTooLargeError

# As API_SendMessage says: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF
ALLOWED = [(0x9, 0xA), (0xD, 0xD), (0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF)]
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]))


def is_allowed(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in ALLOWED)


@given(ANY_TEXT)
@example("\ud800")
@example("\x00\x08\x0b\x1f\ufffe\uffff\U0010ffff")
def test_exactly_the_characters_that_sqs_accepts_are_kept(text: str) -> None:
    cleaned = sanitize_text(text)
    assert cleaned
    assert cleaned == ("".join(c if is_allowed(c) else "\ufffd" for c in text) or "\ufffd")
    cleaned.encode()


@given(ANY_TEXT)
def test_a_group_is_printable_and_short(text: str) -> None:
    assert re.fullmatch(r"[!-~]{0,128}", sanitize_group(text))


def test_a_job_id_stays_as_it_is_as_a_group() -> None:
    assert sanitize_group("01hzy5v4k2m3n4p5q6r7s8t9va") == "01hzy5v4k2m3n4p5q6r7s8t9va"


MESSAGES = st.builds(
    OutboundMessage,
    body=st.one_of(
        st.text(max_size=20),
        st.integers(1, MAX_BODY_BYTES).map(lambda size: "x" * size),
        st.integers(1, MAX_BODY_BYTES // 2).map(lambda size: "é" * size),
    ),
    group=st.text(max_size=200),
    delay_s=st.floats(0, 900),
    note=st.text(max_size=1024),
)


@settings(max_examples=30)
@given(st.lists(MESSAGES, max_size=25))
def test_batches_hold_all_messages_in_order_and_keep_the_limits(
    messages: list[OutboundMessage],
) -> None:
    batches = list(split_into_batches([to_batch_entry(one) for one in messages]))
    bodies = [entry["MessageBody"] for batch in batches for entry in batch]
    assert bodies == [sanitize_text(one.body) for one in messages]
    for batch in batches:
        assert 1 <= len(batch) <= 10
        assert [entry["Id"] for entry in batch] == [str(index) for index in range(len(batch))]
        total = 0
        for entry in batch:
            attributes: Any = entry.get("MessageAttributes", {})
            note = attributes.get("note", {}).get("StringValue", "")
            total += len(entry["MessageBody"].encode()) + len(entry.get("MessageGroupId", ""))
            total += len(note.encode()) + (len("note" + "String") if note else 0)
            assert isinstance(entry.get("DelaySeconds", 0), int)
        assert total <= MAX_MESSAGE_BYTES


def test_the_longest_body_note_and_group_fit_one_message() -> None:
    message = OutboundMessage("x" * MAX_BODY_BYTES, group="g" * 500, note="\U0001f99d" * 5000)
    (batch,) = split_into_batches([to_batch_entry(message)])
    entry = batch[0]
    note = entry["MessageAttributes"]["note"]["StringValue"]
    assert len(note) == 1024
    total = MAX_BODY_BYTES + len(note.encode()) + len("noteString") + len(entry["MessageGroupId"])
    assert total <= MAX_MESSAGE_BYTES


def test_a_body_that_grows_over_the_limit_when_cleaned_is_refused() -> None:
    with pytest.raises(MessageTooLargeError):
        to_batch_entry(OutboundMessage("\x00" * (MAX_BODY_BYTES // 2)))


@pytest.mark.parametrize(
    ("value", "most", "expected"), [(0, 20, 0), (0.01, 20, 1), (29.5, 43_200, 30), (20, 20, 20)]
)
def test_seconds_are_rounded_up(value: float, most: int, expected: int) -> None:
    assert whole_seconds("wait_s", value, most) == expected


@pytest.mark.parametrize("value", [-0.1, 20.1, float("nan"), float("inf")])
def test_seconds_out_of_range_are_refused_by_name(value: float) -> None:
    with pytest.raises(ValueError, match="wait_s"):
        whole_seconds("wait_s", value, 20)


@pytest.mark.parametrize(
    ("extra", "count", "note"),
    [
        ({}, 1, ""),
        ({"Attributes": {"ApproximateReceiveCount": "7"}}, 7, ""),
        ({"Attributes": {"ApproximateReceiveCount": "many"}}, 1, ""),
        ({"Attributes": {"ApproximateReceiveCount": "0"}}, 1, ""),
        ({"MessageAttributes": {"note": {"DataType": "String", "StringValue": "why"}}}, 1, "why"),
        ({"MessageAttributes": {"note": {"DataType": "Binary", "BinaryValue": b"x"}}}, 1, ""),
    ],
)
def test_a_received_message_is_read_whatever_its_sender_did(
    extra: dict[str, object], count: int, note: str
) -> None:
    message = received({"Body": "a", "ReceiptHandle": "r", **extra})
    assert (message.body, message.receipt) == ("a", "r")
    assert (message.receive_count, message.note) == (count, note)
