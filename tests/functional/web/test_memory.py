"""The memory of a real web process after large uploads."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from iraas.web.limits.memory import find_malloc_trim
from tests.functional.cli.deployment import Deployment
from tests.functional.web.real_web import RealWeb
from tests.waiting import wait_until

IMAGE_BYTES = 14_000_000
AT_ONCE = 4
ROUNDS = 2
LEFT_BYTES = 2 * IMAGE_BYTES
"""The tolerated growth: the size of two of the 8 images."""


@pytest.fixture
def deployment(tmp_path: Path, bundle_path: Path) -> Iterator[Deployment]:
    one = Deployment(tmp_path, bundle_path)
    yield one
    assert one.stop() == []


@pytest.mark.skipif(
    sys.platform != "linux" or find_malloc_trim() is None, reason="this C library keeps what it has"
)
def test_memory_is_returned_after_large_uploads(deployment: Deployment) -> None:
    web = RealWeb(deployment)
    process = psutil.Process(web.process.pid)
    image = b"\xff\xd8\xff" + os.urandom(IMAGE_BYTES)

    def upload(number: int) -> int:
        files = {"f": (f"{number}.jpg", image)}
        return web.client.post("/api/v1/jobs", files=files).status_code

    assert web.client.get("/").status_code == 200
    before = process.memory_info().rss
    with ThreadPoolExecutor(AT_ONCE) as clients:
        for _ in range(ROUNDS):
            assert list(clients.map(upload, range(AT_ONCE))) == [202] * AT_ONCE
    wait_until(lambda: process.memory_info().rss < before + LEFT_BYTES, "the memory's release")
    assert web.stop() == 0
