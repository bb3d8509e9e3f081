"""The image formats that iraas reads, told apart by their first bytes and by nothing else."""

from enum import Enum

SNIFF_BYTES = 16
"""How many leading bytes `sniff_format` looks at."""


class ImageFormat(Enum):
    """A format that iraas reads; the value is the name that Pillow knows it by."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    GIF = "GIF"
    BMP = "BMP"
    TIFF = "TIFF"

    @property
    def extension(self) -> str:
        """The usual file extension, without its dot."""
        return _EXTENSIONS[self]

    @property
    def media_type(self) -> str:
        """The media type for HTTP."""
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
"""Lower-case extensions by which a folder's pictures are told from its other files."""


def sniff_format(head: bytes) -> ImageFormat | None:
    """Tell an image's format from its first `SNIFF_BYTES` bytes; None when it is none of ours."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return ImageFormat.WEBP
    return next((one for magic, one in _MAGIC.items() if head.startswith(magic)), None)
