"""Frames on a pipe: a length of four bytes, big-endian, and the content."""

import struct
from typing import BinaryIO

from iraas.errors import MessageError

_HEAD = struct.Struct(">I")
FRAME_HEAD_BYTES = _HEAD.size


def write_frame(sink: BinaryIO, data: bytes) -> None:
    """Write one frame and flush it.

    Args:
        sink: A binary stream.
        data: The content, less than 4 GiB.

    Raises:
        OSError: The pipe is closed.
    """
    sink.write(frame_head(data))
    sink.write(data)
    sink.flush()


def read_frame(source: BinaryIO, *, max_bytes: int) -> bytes | None:
    """Read one frame.

    Args:
        source: A buffered binary stream, whose `read` returns fewer bytes only at its end.
        max_bytes: The longest content that is read.

    Returns:
        The content; None at the end of the stream.

    Raises:
        MessageError: The frame is longer, or the stream ends within it.
    """
    head = source.read(_HEAD.size)
    if not head:
        return None
    data = source.read(size := frame_size(head, max_bytes))
    if len(data) < size:
        raise MessageError("a frame ends early")
    return data


def frame_head(data: bytes) -> bytes:
    """The header of a frame with this content."""
    return _HEAD.pack(len(data))


def frame_size(head: bytes, max_bytes: int) -> int:
    """The length of a frame's content in bytes, from its header.

    Args:
        head: The header.
        max_bytes: The longest content that is accepted.

    Raises:
        MessageError: The content is longer, or the header is cut off.
    """
    if len(head) < _HEAD.size:
        raise MessageError("a frame ends in its header")
    (size,) = _HEAD.unpack(head)
    if size > max_bytes:
        raise MessageError(f"a frame has {size:,} bytes, the limit is {max_bytes:,}")
    return int(size)
