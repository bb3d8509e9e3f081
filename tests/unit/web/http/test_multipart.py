"""Forms that arrive in pieces."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.messages import MAX_NAME_CHARACTERS
from iraas.web.http.multipart import MultipartReader, Part
from iraas.web.limits.memory import MemoryBudget
from iraas.web.problems import Problem

TYPE = 'multipart/form-data; boundary="edge"'
MOST = 1000


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts: their content-disposition's parameters, and their bytes."""
    lines = b"".join(
        b"--edge\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
        for head, data in parts
    )
    return lines + b"--edge--\r\n"


def read(*chunks: bytes, most: int = MOST, budget: MemoryBudget | None = None) -> list[Part]:
    with (budget or MemoryBudget(10**6)).reserve() as reservation:
        reader = MultipartReader(TYPE, reservation, max_file_bytes=most, max_files=10)
        found = [part for chunk in chunks for part in reader.feed(chunk)]
        reader.finish()
    return found


@given(
    st.lists(st.binary(max_size=200).filter(lambda data: b"edge" not in data), max_size=4),
    st.lists(st.integers(0, 2000), max_size=6),
)
def test_wherever_it_is_cut_the_parts_are_the_same(datas: list[bytes], cuts: list[int]) -> None:
    whole = form(*((f'name="f"; filename="{n}.jpg"', data) for n, data in enumerate(datas)))
    offsets = sorted({min(cut, len(whole)) for cut in cuts})
    chunks = [
        whole[start:end] for start, end in zip([0, *offsets], [*offsets, len(whole)], strict=True)
    ]
    found = read(*(chunk for chunk in chunks if chunk))
    assert [(one.filename, one.data) for one in found] == [
        (f"{number}.jpg", data) for number, data in enumerate(datas)
    ]


def test_a_file_over_the_limit_is_skipped_and_takes_no_memory() -> None:
    budget = MemoryBudget(MOST + 500)
    body = form(('name="f"; filename="big"', b"x" * 5000), ('name="f"; filename="ok"', b"fine"))
    pieces = [body[start : start + 100] for start in range(0, len(body), 100)]
    big, fine = read(*pieces, budget=budget)
    assert (big.is_whole, big.size_bytes, big.data) == (False, 5000, b"")
    assert (fine.is_whole, fine.data) == (True, b"fine")
    with budget.reserve() as reservation:
        reservation.grow(MOST + 500)  # all of it was released


def test_an_empty_file_is_kept_and_an_empty_field_is_ignored() -> None:
    body = form(('name="f"; filename="empty.jpg"', b""), ('name="f"; filename=""', b""))
    (empty,) = read(body)
    assert (empty.filename, empty.data, empty.is_whole) == ("empty.jpg", b"", True)


def test_a_file_without_a_name_gets_a_readable_one() -> None:
    (found,) = read(form(('name="f"; filename=""', b"data")))
    assert found.filename == "image"


def test_a_field_is_no_file() -> None:
    (found,) = read(form(('name="csrf"', b"abc")))
    assert (found.field, found.filename, found.data) == ("csrf", None, b"abc")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("../../etc/passwd", "../../etc/passwd"),
        ("a%2e%2e%00.jpg", "a%2e%2e%00.jpg"),
        ("naïve 🦊.jpg", "naïve 🦊.jpg"),
        ("\u202egpj.exe", "\u202egpj.exe"),
        ("x" * 5000, "x" * MAX_NAME_CHARACTERS),
        ("<img onerror=x>", "<img onerror=x>"),
    ],
)
def test_a_file_name_is_kept_as_it_is_within_its_bound(written: str, name: str) -> None:
    (found,) = read(form((f'name="f"; filename="{written}"', b"x")))
    assert found.filename == name


def test_an_undecodable_file_name_is_replaced() -> None:
    body = form(('name="f"; filename="NAME"', b"x")).replace(b"NAME", b"\xff\xfe\x00.jpg")
    (found,) = read(body)
    assert found.filename == "\ufffd\ufffd\x00.jpg"


def test_too_many_files_are_refused() -> None:
    body = form(*[('name="f"; filename="a"', b"x")] * 11)
    with pytest.raises(Problem) as caught:
        read(body)
    assert (caught.value.status, caught.value.code) == (413, "too-many-files")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not a form",
        form(('name="f"; filename="a"', b"x"))[:-10],
        form(("filename=nameless", b"x")),
        form(*[('name="f"', b"x")] * 200),
        form(('name="f"', b"x" * 20_000)),
        b"--edge\r\n" + b"Header: value\r\n" * 50 + b"\r\nx\r\n--edge--\r\n",
    ],
)
def test_a_corrupt_form_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        read(body)
    assert (caught.value.status, caught.value.code) == (400, "mangled-form")


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_or_parsed(data: bytes) -> None:
    with contextlib.suppress(Problem):
        read(b"--edge\r\n" + data)


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data", "multipart/mixed; a=b"])
def test_another_content_type_is_refused(kind: str) -> None:
    with MemoryBudget(1).reserve() as reservation, pytest.raises(Problem) as caught:
        MultipartReader(kind, reservation, max_file_bytes=1, max_files=1)
    assert caught.value.status == 415


def test_uploads_over_the_shared_memory_limit_get_429() -> None:
    with pytest.raises(Problem) as caught:
        read(form(('name="f"; filename="a"', b"x" * 900)), budget=MemoryBudget(500))
    assert caught.value.status == 429
