"""The outcome: its JSON form is a public promise, pinned here."""

import json
from typing import Any

import pytest
from hypothesis import given

from iraas.core.outcomes import (
    LabelScore,
    Outcome,
    Prediction,
    decode_outcome,
    outcome_from_json,
)
from iraas.errors import MessageError
from tests.unit.core.strategies import json_values, outcomes

FIELDS = [
    "request_id", "job_id", "name", "status", "label", "score", "top", "reason",
    "model", "worker", "attempts", "submitted_at", "completed_at",
]  # fmt: skip

LABELLED = Outcome(
    request_id="01kb3v9x4q0000000000000000-00000000",
    job_id="01kb3v9x4q0000000000000000",
    name="cat.jpg",
    prediction=Prediction((LabelScore("tabby", 0.87654321), LabelScore("lynx", 0.1))),
    reason="",
    model="efficientnet-lite0@0123abcd",
    worker="w-1",
    attempts=1,
    submitted_at=1_800_000_000.1234567,
    completed_at=1_800_000_001.0,
)
FAILED = Outcome(
    LABELLED.request_id, LABELLED.job_id, "x", None, "it is empty", "", "submit", 0, 1.0, 2.0
)


def test_the_json_of_a_labelled_image_is_pinned() -> None:
    assert LABELLED.to_json() == {
        "request_id": "01kb3v9x4q0000000000000000-00000000",
        "job_id": "01kb3v9x4q0000000000000000",
        "name": "cat.jpg",
        "status": "ok",
        "label": "tabby",
        "score": 0.876543,
        "top": [{"label": "tabby", "score": 0.876543}, {"label": "lynx", "score": 0.1}],
        "reason": None,
        "model": "efficientnet-lite0@0123abcd",
        "worker": "w-1",
        "attempts": 1,
        "submitted_at": 1_800_000_000.123457,
        "completed_at": 1_800_000_001.0,
    }


def test_the_json_of_a_failure_is_pinned() -> None:
    assert FAILED.to_json() == {
        "request_id": LABELLED.request_id,
        "job_id": LABELLED.job_id,
        "name": "x",
        "status": "failed",
        "label": None,
        "score": None,
        "top": [],
        "reason": "it is empty",
        "model": None,
        "worker": "submit",
        "attempts": 0,
        "submitted_at": 1.0,
        "completed_at": 2.0,
    }


@given(outcomes)
def test_every_outcome_has_exactly_these_fields_in_this_order(outcome: Outcome) -> None:
    assert list(outcome.to_json()) == FIELDS


@given(outcomes)
def test_a_stored_outcome_is_read_back_equal(outcome: Outcome) -> None:
    data = outcome.encode()
    assert decode_outcome(data) == outcome
    assert b"\n" not in data
    assert b"\r" not in data


@given(outcomes)
def test_status_says_whether_there_is_a_prediction(outcome: Outcome) -> None:
    assert outcome.status == ("failed" if outcome.prediction is None else "ok")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"null", b"[]", b"{}", b"\xff\xfe", b'"ok"', b"NaN", b"[" * 200_000,
        b'{"top":' + b"[" * 200_000, b"9" * 10_000,
    ],
    ids=lambda data: str(data[:12]),
)  # fmt: skip
def test_an_invalid_outcome_is_a_message_error(data: bytes) -> None:
    with pytest.raises(MessageError):
        decode_outcome(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed"},
        {"status": "maybe"},
        {"top": []},
        {"top": None},
        {"top": {}},
        {"top": "tabby"},
        {"top": [[]]},
        {"top": [{"label": "a"}]},
        {"top": [{"label": "a", "score": float("nan")}]},
        {"top": [{"label": "a", "score": 10**400}]},
        {"top": [{"label": "\ud800", "score": 1}]},
        {"name": "\ud800"},
        {"name": None},
        {"reason": 5},
        {"reason": "\udfff"},
        {"worker": []},
        {"attempts": float("inf")},
        {"attempts": None},
        {"attempts": "many"},
        {"attempts": -1},
        {"attempts": 1.5},
        {"submitted_at": float("nan")},
        {"submitted_at": 10**400},
        {"completed_at": None},
        {"completed_at": True},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_an_outcome_with_a_wrong_field_is_a_message_error(changes: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        outcome_from_json(LABELLED.to_json() | changes)


@pytest.mark.parametrize("field", sorted(set(FIELDS) - {"label", "score"}))
def test_an_outcome_that_lacks_a_field_is_a_message_error(field: str) -> None:
    value = LABELLED.to_json()
    del value[field]
    with pytest.raises(MessageError):
        outcome_from_json(value)


@given(json_values)
def test_no_json_value_is_more_than_a_message_error(value: object) -> None:
    with pytest.raises(MessageError):
        outcome_from_json(value)


def test_a_field_of_a_later_version_is_ignored() -> None:
    value = LABELLED.to_json() | {"region": "eu"}
    assert decode_outcome(json.dumps(value).encode()).name == "cat.jpg"
