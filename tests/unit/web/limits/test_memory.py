"""Memory that remains after large requests."""

import pytest

from iraas.web.http.multipart import MultipartReader
from iraas.web.limits import memory
from iraas.web.limits.memory import MIN_TRIM_BYTES, HeapTrimmer, MemoryBudget, find_malloc_trim

HEAD = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n'


def test_the_heap_is_trimmed_when_enough_was_released(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed: list[int] = []
    monkeypatch.setattr(memory, "find_malloc_trim", lambda: trimmed.append)
    budget = MemoryBudget(10 * MIN_TRIM_BYTES)
    trimmer = HeapTrimmer(lambda: budget.released_bytes)
    trimmer.run()
    for expected in (0, 1, 1, 2):
        with budget.reserve() as reservation:
            reservation.grow(MIN_TRIM_BYTES // 2)
            trimmer.run()
        trimmer.run()
        assert len(trimmed) == expected
    trimmer.run()
    assert len(trimmed) == 2


def test_trimming_is_harmless_wherever_it_runs() -> None:
    trim = find_malloc_trim()
    assert trim is None or trim(0) in {0, 1}
    HeapTrimmer(lambda: MIN_TRIM_BYTES).run()


def test_a_reader_holds_neither_the_parts_it_gave_nor_anything_once_it_is_closed() -> None:
    with MemoryBudget(10**6).reserve() as reservation:
        reader = MultipartReader(
            "multipart/form-data; boundary=x", reservation, max_file_bytes=10**6, max_files=9
        )
        (part,) = reader.feed(HEAD + bytes(1000) + b"\r\n--x\r\n")
        assert len(part.data) == 1000
        assert held_by(reader) == 0
        reader.feed(HEAD.removeprefix(b"--x\r\n") + bytes(2000))
        assert held_by(reader) == 2000
        reader.close()
        assert held_by(reader) == 0


def held_by(reader: MultipartReader) -> int:
    return sum(len(one) for one in vars(reader).values() if isinstance(one, bytearray | list))
