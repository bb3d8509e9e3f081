"""Frames come back as they were written, and garbage is an error."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.errors import MessageError
from iraas.sandbox.frames import read_frame, write_frame


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_frames_come_back_in_order(contents: list[bytes]) -> None:
    pipe = io.BytesIO()
    for content in contents:
        write_frame(pipe, content)
    pipe.seek(0)
    assert [read_frame(pipe, max_bytes=200) for _ in contents] == contents
    assert read_frame(pipe, max_bytes=200) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0", "ends in its header"),
        (b"\0\0\0\5abc", "ends early"),
        (b"\0\0\0\x0b", "the limit is 10"),
        (b"\xff\xff\xff\xff", "the limit is 10"),
    ],
)
def test_a_frame_that_is_too_long_or_cut_off_is_an_error(data: bytes, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        read_frame(io.BytesIO(data), max_bytes=10)
