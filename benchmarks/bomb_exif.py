"""EXIF blocks whose entries all claim the same bytes: each is copied when it is read."""

import struct


def bomb_exif(entries: int, size: int = 0) -> bytes:
    """A TIFF directory of so many entries, each as long as the whole block.

    Args:
        entries: At most 65,535.
        size: Bytes of the block; as long as the directory, by default.
    """
    length = 8 + 2 + 12 * entries + 4
    claimed = max(size, length) - 8
    table = b"".join(
        struct.pack("<HHII", 0x9000 + index % 0x6000, 7, claimed, 8) for index in range(entries)
    )
    block = b"II*\0" + struct.pack("<IH", 8, entries) + table + bytes(4)
    return block.ljust(size, b"\0")
