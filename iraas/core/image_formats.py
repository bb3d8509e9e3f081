"""The supported image formats, detected by their first bytes alone."""

from enum import Enum

SNIFF_BYTES = 16
"""The number of leading bytes that `sniff_format` reads."""


class ImageFormat(Enum):
    """A supported image format; the value is its name in Pillow."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    GIF = "GIF"
    BMP = "BMP"
    TIFF = "TIFF"

    @property
    def extension(self) -> str:
        """The usual file extension, without the dot."""
        return _EXTENSIONS[self]

    @property
    def media_type(self) -> str:
        """The media type, such as ``image/jpeg``."""
        return f"image/{self.value.lower()}"


_EXTENSIONS = {
    ImageFormat.JPEG: "jpg",
    ImageFormat.PNG: "png",
    ImageFormat.WEBP: "webp",
    ImageFormat.GIF: "gif",
    ImageFormat.BMP: "bmp",
    ImageFormat.TIFF: "tif",
}

_MAGIC = {
    b"\xff\xd8\xff": ImageFormat.JPEG,
    b"\x89PNG\r\n\x1a\n": ImageFormat.PNG,
    b"GIF87a": ImageFormat.GIF,
    b"GIF89a": ImageFormat.GIF,
    b"BM": ImageFormat.BMP,
    b"II*\x00": ImageFormat.TIFF,
    b"MM\x00*": ImageFormat.TIFF,
}

FILE_EXTENSIONS = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib", "tif", "tiff"}
)
"""Lower-case extensions by which images are found in a folder."""


def sniff_format(head: bytes) -> ImageFormat | None:
    """Detect an image's format by its first `SNIFF_BYTES` bytes; None if it is not supported."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return ImageFormat.WEBP
    return next((found for magic, found in _MAGIC.items() if head.startswith(magic)), None)
