"""Fixtures of the models' tests."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from PIL import Image

from iraas.decoding.limits import DecodeLimits
from iraas.models.bundle import Preprocessing
from iraas.models.loading import load_classifier
from iraas.models.onnx_runtime import OnnxClassifier
from iraas.models.preprocessing import prepare_pixels

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

SIZE = 32
SMALL_INPUT = Preprocessing(size=SIZE, crop_padding=0, resample="bicubic")


class Encode(Protocol):
    """Saves an image to bytes."""

    def __call__(self, image: Image.Image, image_format: str, **options: Any) -> bytes: ...


class Prepare(Protocol):
    """Prepares bytes for a small input without margin."""

    def __call__(self, data: bytes, max_pixels: int = 64_000_000) -> NDArray[np.uint8]: ...


class MakePng(Protocol):
    """Writes a PNG by hand: grey of 8 bits, with any size in its header."""

    def __call__(self, width: int, height: int, rows: bytes, *extra: bytes) -> bytes: ...


class MakeTiff(Protocol):
    """Writes a TIFF by hand: one strip, one sample per pixel, and further tags of type LONG."""

    def __call__(
        self, width: int, height: int, bits: int, pixels: bytes, **options: int
    ) -> bytes: ...


@pytest.fixture(scope="session")
def classifier(bundle_path: Path) -> OnnxClassifier:
    return load_classifier(bundle_path)


@pytest.fixture(scope="session")
def encode() -> Encode:
    def encode_image(image: Image.Image, image_format: str, **options: Any) -> bytes:
        file = BytesIO()
        image.save(file, image_format, **options)
        return file.getvalue()

    return encode_image


@pytest.fixture(scope="session")
def prepare() -> Prepare:
    def prepare_small(data: bytes, max_pixels: int = 64_000_000) -> NDArray[np.uint8]:
        return prepare_pixels(data, SMALL_INPUT, DecodeLimits(max_pixels=max_pixels))

    return prepare_small


@pytest.fixture(scope="session")
def make_png() -> MakePng:
    def make(width: int, height: int, rows: bytes, *extra: bytes) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        parts = [png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", zlib.compress(rows))]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + png_chunk(b"IEND", b"")

    return make


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.fixture(scope="session")
def make_tiff() -> MakeTiff:
    def make(width: int, height: int, bits: int, pixels: bytes, **options: int) -> bytes:
        tags = {
            256: width,
            257: height,
            258: bits,
            259: 1,
            262: options.pop("photometric", 1),
            273: 8,
            277: 1,
            278: height,
            279: len(pixels),
        }
        tags.update({int(name.removeprefix("tag_")): value for name, value in options.items()})
        pixels += b"\0" * (len(pixels) % 2)
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
        directory = struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"
        return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory

    return make
