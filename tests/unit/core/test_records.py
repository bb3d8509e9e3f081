"""The records that workers and the controller write."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.records import ScalingDecision, WorkerRecord, decode_decision, decode_worker
from iraas.errors import MessageError
from tests.unit.core.strategies import json_values, storable_texts, times

counts = st.integers(0, 10**9)
worker_records = st.builds(
    WorkerRecord,
    worker_id=storable_texts,
    state=st.sampled_from(["starting", "running", "draining", "gone", "broken"]),
    started_at=times,
    beat_at=times,
    processes=counts,
    done=counts,
    failed=counts,
    images_per_s=times,
    model=storable_texts,
    reason=storable_texts,
)
decision_records = st.builds(
    ScalingDecision,
    at=times,
    visible=counts,
    in_flight=counts,
    delayed=counts,
    booting=counts,
    running=counts,
    wanted=counts,
    launched=counts,
    reason=storable_texts,
    removed=st.dictionaries(storable_texts, storable_texts),
    broken_in_a_row=counts,
)
WORKER = WorkerRecord("w-1", "running", 1.0, 2.0)
DECISION = ScalingDecision(1.0, 0, 0, 0, 0, 0, 0, 0, "nothing")


@given(worker_records)
def test_a_workers_record_is_read_back_equal(record: WorkerRecord) -> None:
    assert decode_worker(record.encode()) == record


@given(decision_records)
def test_a_decision_is_read_back_equal(record: ScalingDecision) -> None:
    assert decode_decision(record.encode()) == record


def test_a_record_of_an_earlier_version_is_read_and_written_with_its_names() -> None:
    manual = replace(WORKER, manual=True)
    stored = json.loads(manual.encode())
    assert stored["by_hand"] is True
    assert "manual" not in stored
    assert decode_worker(json.dumps(stored).encode()) == manual


@given(json_values)
def test_no_json_is_more_than_a_message_error(value: object) -> None:
    data = json.dumps(value).encode()
    for decode in (decode_worker, decode_decision):
        with pytest.raises(MessageError):
            decode(data)


@pytest.mark.parametrize("name", [one.name for one in fields(WorkerRecord) if one.name != "manual"])
@pytest.mark.parametrize(
    "value", [None, [], {}, 10**400, float("nan"), True], ids=lambda one: str(one)[:9]
)
def test_a_worker_with_a_field_of_a_wrong_type_is_a_message_error(name: str, value: Any) -> None:
    data = json.dumps(json.loads(WORKER.encode()) | {name: value}).encode()
    with pytest.raises(MessageError, match="WorkerRecord"):
        decode_worker(data)


@pytest.mark.parametrize(
    "changes",
    [{"at": "now"}, {"removed": []}, {"removed": {"w": 1}}, {"wanted": "many"}, {"reason": None}],
    ids=str,
)
def test_a_decision_with_a_wrong_field_is_a_message_error(changes: dict[str, Any]) -> None:
    data = json.dumps(json.loads(DECISION.encode()) | changes).encode()
    with pytest.raises(MessageError, match="ScalingDecision"):
        decode_decision(data)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 200_000, b"{}"], ids=lambda one: one[:5])
def test_an_invalid_record_is_a_message_error(data: bytes) -> None:
    with pytest.raises(MessageError):
        decode_worker(data)


def test_a_field_of_a_later_version_is_ignored() -> None:
    data = json.dumps(json.loads(WORKER.encode()) | {"gpu": "H200"}).encode()
    assert decode_worker(data) == WORKER
