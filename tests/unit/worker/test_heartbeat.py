"""The line that a classifier process writes to its supervisor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.errors import MessageError
from iraas.worker.heartbeat import Heartbeat, decode_heartbeat
from tests.unit.core.strategies import any_texts, json_values, storable_texts

heartbeats = st.builds(
    Heartbeat,
    model=storable_texts,
    done=st.integers(0, 10**9),
    failed=st.integers(0, 10**9),
    empty_polls=st.integers(0, 10**9),
    in_flight=st.lists(any_texts).map(tuple),
    draining=st.booleans(),
    error=storable_texts,
)


@given(heartbeats)
def test_a_heartbeat_is_one_line_and_read_back_equal(heartbeat: Heartbeat) -> None:
    line = heartbeat.encode()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_heartbeat(line) == heartbeat


@pytest.mark.parametrize(
    "line",
    [
        b"", b"hello", b"{}", b"[]", b"1", b"null", b"\xff\n", b"[" * 100_000,
        b'{"model":"a","in_flight":null}', b'{"in_flight":[]}',
        b'{"model":1,"in_flight":[]}', b'{"model":"a","in_flight":[1]}',
        b'{"model":"a","in_flight":"ab"}',
        b'{"model":"a","in_flight":[],"done":"1"}',
        b'{"model":"a","in_flight":[],"empty_polls":NaN}',
    ],
    ids=lambda line: str(line[:40]),
)  # fmt: skip
def test_any_other_line_is_a_message_error(line: bytes) -> None:
    with pytest.raises(MessageError):
        decode_heartbeat(line)


@given(json_values)
def test_no_json_is_more_than_a_message_error(value: object) -> None:
    with pytest.raises(MessageError):
        decode_heartbeat(str(value).encode("utf-8", "replace"))
