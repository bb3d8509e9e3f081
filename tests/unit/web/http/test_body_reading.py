"""Small bodies in tiny pieces: the work grows with the bytes, and not with their square."""

import sys

import pytest
from starlette.requests import Request
from starlette.types import Message, Scope

from iraas.backends.memory import MemoryBackend
from iraas.web.config import WebConfig
from iraas.web.http.bodies import read_small
from iraas.web.http.multipart import MultipartReader
from iraas.web.limits.memory import MemoryBudget
from iraas.web.problems import Problem
from iraas.web.state import AppState
from tests.async_run import run_async

PIECES = 2000


class Counted(bytes):
    """Counts how often it is asked for its length."""

    asked = 0

    def __len__(self) -> int:
        Counted.asked += 1
        return super().__len__()


def read(pieces: list[bytes], most_bytes: int) -> bytes:
    state = AppState(MemoryBackend(), deployment="test", token=None, limits=WebConfig())
    messages: list[Message] = [
        {"type": "http.request", "body": one, "more_body": True} for one in pieces
    ]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    left = iter(messages)

    async def receive() -> Message:
        return next(left)

    async def scene() -> bytes:
        scope: Scope = {"type": "http", "headers": []}
        return await read_small(Request(scope, receive), state, most_bytes)

    return run_async(scene())


def test_reading_a_body_in_small_pieces_is_not_quadratic() -> None:
    Counted.asked = 0
    assert read([Counted(b"x") for _ in range(PIECES)], PIECES) == b"x" * PIECES
    assert Counted.asked <= 4 * PIECES


def test_a_large_body_is_refused_at_the_first_piece_over_the_limit() -> None:
    with pytest.raises(Problem) as caught:
        read([b"x"] * PIECES, PIECES - 1)
    assert caught.value.status == 413


def test_a_file_in_tiny_pieces_takes_about_its_size_in_memory() -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n'
    with MemoryBudget(10**6).reserve() as reservation:
        reader = MultipartReader(
            "multipart/form-data; boundary=x", reservation, max_file_bytes=10**6, max_files=1
        )
        reader.feed(head)
        for number in range(PIECES):
            reader.feed(b"%03d" % (number % 1000))
        held = [one for one in vars(reader).values() if isinstance(one, bytearray | list)]
        weight = sum(sys.getsizeof(one) for one in held)
        weight += sum(sys.getsizeof(one) for many in held if isinstance(many, list) for one in many)
        assert weight < 2 * 3 * PIECES
        (part,) = reader.feed(b"\r\n--x--\r\n")
    assert len(part.data) == 3 * PIECES
