"""Formats are detected by their first bytes."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from iraas.core.image_formats import FILE_EXTENSIONS, SNIFF_BYTES, ImageFormat, sniff_format


@pytest.mark.parametrize("one", ImageFormat)
def test_files_written_by_pillow_are_recognised(one: ImageFormat) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, one.value)
    assert sniff_format(file.getvalue()[:SNIFF_BYTES]) is one


@pytest.mark.parametrize(
    "head",
    [
        b"", b"hello", b"%PDF-1.7", b"<svg", b"\x00" * 16, b"RIFF\x00\x00\x00\x00WAVE",
        b"RIFFWEBP", b"GIF88a", b"\xff\xd8", b"\x89PNG", b"II+\x00", b"....ftypheic",
    ],
)  # fmt: skip
def test_anything_else_is_none(head: bytes) -> None:
    assert sniff_format(head) is None


@given(st.binary())
def test_any_bytes_can_be_sniffed(data: bytes) -> None:
    assert sniff_format(data[:SNIFF_BYTES]) is sniff_format(data)


def test_every_format_has_an_extension_that_folders_are_searched_for() -> None:
    assert {one.extension for one in ImageFormat} <= FILE_EXTENSIONS
    assert all(one.media_type.startswith("image/") for one in ImageFormat)
