"""The line that a classifier process says to its supervisor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.errors import MessageError
from iraas.worker.heartbeat import Heartbeat, decode_beat
from tests.unit.core.strategies import any_texts, json_values, storable_texts

beats = st.builds(
    Heartbeat,
    model=storable_texts,
    done=st.integers(0, 10**9),
    failed=st.integers(0, 10**9),
    empty_polls=st.integers(0, 10**9),
    held=st.lists(any_texts).map(tuple),
    draining=st.booleans(),
    error=storable_texts,
)


@given(beats)
def test_a_beat_is_one_line_and_read_back_equal(beat: Heartbeat) -> None:
    line = beat.encode()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_beat(line) == beat


@pytest.mark.parametrize(
    "line",
    [
        b"", b"hello", b"{}", b"[]", b"1", b"null", b"\xff\n", b"[" * 100_000,
        b'{"model":"a","held":null}', b'{"held":[]}',
        b'{"model":1,"held":[]}', b'{"model":"a","held":[1]}', b'{"model":"a","held":"ab"}',
        b'{"model":"a","held":[],"done":"1"}', b'{"model":"a","held":[],"empty_polls":NaN}',
    ],
    ids=lambda line: str(line[:40]),
)  # fmt: skip
def test_any_other_line_is_a_message_error(line: bytes) -> None:
    with pytest.raises(MessageError):
        decode_beat(line)


@given(json_values)
def test_no_json_is_more_than_a_message_error(value: object) -> None:
    with pytest.raises(MessageError):
        decode_beat(str(value).encode("utf-8", "replace"))
