"""The real command, real processes, real signals: a separate deployment for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.deployment import Deployment


@pytest.fixture
def deployment(tmp_path: Path, bundle_path: Path) -> Iterator[Deployment]:
    """A separate deployment; nothing of it is left when the test ends."""
    one = Deployment(tmp_path / "home", bundle_path)
    try:
        yield one
    finally:
        one.stop()
