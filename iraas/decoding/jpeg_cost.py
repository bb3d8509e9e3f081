"""The cost of decoding a JPEG, which grows with scans times blocks, not with pixels alone.

A decoder visits every block of a component once per scan, even in a scan without data: 300 kB can
hold 20,000 scans. Encoders write about 10, and up to 30 when they search for the smallest file.
"""

from __future__ import annotations

from typing import Final

from iraas.decoding.jpeg_markers import Frame, Header, Scan, iter_scans
from iraas.decoding.limits import Cost

COEFFICIENT_BYTES: Final = 128
"""Bytes of one block, kept in memory until the last scan if there is more than one."""

# Seconds, upper bounds measured with libjpeg-turbo 3.2.
BLOCK_S: Final = 4e-9
BLOCK_COEFFICIENT_S: Final = 0.27e-9
ARITHMETIC_BLOCK_S: Final = 600e-9
RESTART_S: Final = 10e-9
SCAN_S: Final = 5e-6
OUTPUT_BLOCK_S: Final = 20e-9
KEPT_BLOCK_S: Final = 100e-9
BYTE_S: Final = 10e-9
PROGRESSIVE_BYTE_S: Final = 15e-9
PIXEL_S: Final = 12e-9


def jpeg_cost(data: bytes, header: Header, pixels: int, max_cpu_s: float) -> Cost:
    """Estimate the cost of decoding.

    Args:
        data: The bytes of the file.
        header: Its header.
        pixels: The number of decoded pixels, after shrinking.
        max_cpu_s: CPU seconds; if as many scans of the worst kind take less, the scans are not
            examined one by one.

    Returns:
        An upper bound; one above `max_cpu_s` may be too low.
    """
    frame = header.frame
    blocks = sum(frame.blocks.values())
    first = next(iter_scans(data, header))
    kept = frame.is_progressive or len(first.components) < len(frame.blocks)
    byte_s = PROGRESSIVE_BYTE_S if frame.is_progressive else BYTE_S
    memory_bytes = COEFFICIENT_BYTES * blocks if kept else 0
    cpu_s = len(data) * byte_s + pixels * PIXEL_S + blocks * OUTPUT_BLOCK_S
    if not kept:
        return Cost(memory_bytes, cpu_s + scan_s(frame, first))
    cpu_s += blocks * KEPT_BLOCK_S
    # Within a scan's data each 0xFF is followed by a zero, so this never counts too few.
    count = data.count(b"\xff\xda", header.first_scan)
    most_s = count * scan_s(frame, Scan(tuple(frame.blocks), 64, 1))
    if cpu_s + most_s <= max_cpu_s:
        return Cost(memory_bytes, cpu_s + most_s)
    for scan in iter_scans(data, header):
        cpu_s += scan_s(frame, scan)
        if cpu_s > max_cpu_s:
            break
    return Cost(memory_bytes, cpu_s)


def scan_s(frame: Frame, scan: Scan) -> float:
    """CPU seconds of one scan, without the cost of its bytes."""
    blocks = sum(frame.blocks.get(component, 0) for component in scan.components)
    block_s = BLOCK_S + scan.coefficients * BLOCK_COEFFICIENT_S
    if frame.is_arithmetic:
        block_s += ARITHMETIC_BLOCK_S
    if scan.restart_interval:
        block_s += RESTART_S / scan.restart_interval
    return SCAN_S + blocks * block_s
