"""The estimated cost of a TIFF of JPEG data."""

from io import BytesIO
from typing import cast

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from iraas.decoding.limits import DEFAULT_MAX_CPU_S, Cost, DecodeLimits
from iraas.decoding.tiff_cost import tiff_cost

A4_AT_150_DPI = (1240, 1754)
LARGER_AT_600_DPI = 16


def scan_of_a_page() -> bytes:
    file = BytesIO()
    page = Image.effect_noise(A4_AT_150_DPI, 40).convert("RGB")
    page.save(file, "TIFF", compression="jpeg")
    return file.getvalue()


def cost_of(data: bytes) -> Cost:
    with Image.open(BytesIO(data)) as image:
        return tiff_cost(cast("TiffImageFile", image), data, DecodeLimits())


def test_a_scanned_page_of_600_dpi_is_within_the_budget() -> None:
    assert cost_of(scan_of_a_page()).cpu_s * LARGER_AT_600_DPI < DEFAULT_MAX_CPU_S


def test_arithmetic_coding_is_estimated_at_what_it_takes() -> None:
    huffman = scan_of_a_page()
    arithmetic = huffman.replace(b"\xff\xc0", b"\xff\xc9")
    assert arithmetic != huffman
    samples = 3 * A4_AT_150_DPI[0] * A4_AT_150_DPI[1]
    assert cost_of(arithmetic).cpu_s > cost_of(huffman).cpu_s + samples * 7e-9
