"""Decoding takes no more memory than estimated, and large honest images are read."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from iraas.decoding.failures import image_errors
from iraas.decoding.limits import DecodeLimits
from iraas.decoding.opening import load_image
from iraas.errors import ImageTooLargeError
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLACK_BYTES = 20_000_000
"""Of Python, of Pillow's code, and of what the allocator keeps."""

# With a limit of one byte the reason says the estimate, in MB. Each image has a fork of its own,
# whose peak begins with what the process holds.
CHILD = """
    import os
    import sys
    from pathlib import Path
    from iraas.decoding.failures import image_errors
    from iraas.decoding.limits import DecodeLimits
    from iraas.decoding.opening import load_image
    from iraas.errors import ImageTooLargeError

    def peak_bytes():
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def measure(path):
        before = peak_bytes()
        data = Path(path).read_bytes()
        with image_errors(data):
            try:
                load_image(data, DecodeLimits(max_memory_bytes=1), 256)
            except ImageTooLargeError as error:
                estimate = float(str(error).split("needs ")[1].split(" MB")[0].replace(",", ""))
            limit = int((estimate + 1) * 1e6)
            image = load_image(data, DecodeLimits(max_memory_bytes=limit, max_cpu_s=60), 256)
        print(int(estimate * 1e6), peak_bytes() - before, flush=True)

    for path in sys.stdin:
        if not os.fork():
            measure(path.rstrip())
            sys.exit()
        os.wait()
"""

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("RGB", "JPEG", {}),
    ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    ("RGB", "JPEG", {"progressive": True, "subsampling": 2}),
    ("CMYK", "JPEG", {"progressive": True}),
    ("L", "JPEG", {"progressive": True}),
    ("RGB", "PNG", {"compress_level": 1}),
    ("RGBA", "PNG", {"compress_level": 1}),
    ("I;16", "PNG", {"compress_level": 1}),
    ("P", "PNG", {"compress_level": 1}),
    ("P", "GIF", {}),
    ("RGB", "BMP", {}),
    ("RGB", "TIFF", {}),
    ("RGB", "TIFF", {"compression": "tiff_lzw", "tiffinfo": {278: 3000}}),
    ("RGBA", "TIFF", {"compression": "tiff_adobe_deflate", "tiffinfo": {278: 3000}}),
    ("F", "TIFF", {"compression": "packbits"}),
    ("RGB", "TIFF", {"compression": "jpeg"}),
    ("RGB", "WEBP", {"method": 0}),
    ("RGBA", "WEBP", {"method": 0, "lossless": True, "quality": 0}),
]


def encoded(mode: str, size: tuple[int, int], image_format: str, **options: Any) -> bytes:
    grey = Image.linear_gradient("L").resize(size)
    image = grey.convert("I").convert(mode) if mode == "I;16" else grey.convert(mode)
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def measurer() -> Iterator[subprocess.Popen[str]]:
    """Takes the path of an image in a line, and answers with the estimate and what it took."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.communicate(timeout=PATIENCE_S)


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's peak in /proc")
@pytest.mark.parametrize(("mode", "image_format", "options"), CASES)
def test_decoding_takes_no_more_memory_than_estimated(
    mode: str,
    image_format: str,
    options: dict[str, Any],
    tmp_path: Path,
    measurer: subprocess.Popen[str],
) -> None:
    path = tmp_path / "image"
    path.write_bytes(encoded(mode, (4000, 3000), image_format, **options))
    assert measurer.stdin is not None
    assert measurer.stdout is not None

    measurer.stdin.write(f"{path}\n")
    measurer.stdin.flush()

    estimate, taken = map(int, measurer.stdout.readline().split())
    assert 0 < taken <= estimate + SLACK_BYTES


def load(data: bytes) -> Image.Image:
    with image_errors(data):
        return load_image(data, DecodeLimits(), shrink_to=256)


@pytest.mark.parametrize(
    ("mode", "size", "image_format", "options"),
    [
        ("RGB", (9504, 6336), "JPEG", {}),
        ("RGB", (9504, 6336), "JPEG", {"progressive": True, "subsampling": 2}),
        ("RGB", (6000, 4000), "PNG", {"compress_level": 1}),
        ("RGB", (6000, 4000), "WEBP", {"method": 0}),
        ("RGBA", (6000, 4000), "WEBP", {"method": 0}),
        ("I;16", (6000, 4000), "TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_a_large_honest_image_is_read(
    mode: str, size: tuple[int, int], image_format: str, options: dict[str, Any]
) -> None:
    image = load(encoded(mode, size, image_format, **options))

    assert image.width >= 256
    assert abs(image.width / image.height - 1.5) < 0.01


@pytest.mark.parametrize("options", [{}, {"lossless": True, "quality": 0}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_large_webp_has_the_pixels_that_pillow_reads(mode: str, options: dict[str, Any]) -> None:
    data = encoded(mode, (800, 600), "WEBP", method=0, **options)
    # Enough for one buffer and too little for Pillow's own way.
    limits = DecodeLimits(max_memory_bytes=800 * 600 * 12)

    with image_errors(data):
        large = load_image(data, limits, shrink_to=256)

    assert large.mode in {"RGBX", "RGBA"}
    assert large.convert("RGB").tobytes() == load(data).convert("RGB").tobytes()


def test_the_reason_says_what_is_needed_and_what_the_limit_is() -> None:
    data = encoded("RGB", (4000, 3000), "PNG", compress_level=1)

    with (
        pytest.raises(ImageTooLargeError, match=r"needs 48 MB of memory, the limit is 40 MB"),
        image_errors(data),
    ):
        load_image(data, DecodeLimits(max_memory_bytes=40_000_000), shrink_to=256)
