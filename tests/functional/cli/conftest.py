"""Separate deployments for tests; none of their processes is left running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cli.deployment import Deployment

LABELS = {"bison.jpg": "bison", "koala.jpg": "koala", "espresso.jpg": "espresso"}
HOSTILE_NAME = "\x1b]0;owned\x07\x1b[31m[bold]red[/bold] :cat: \u202egpj.jpg"


@pytest.fixture
def deployment(tmp_path: Path, bundle_path: Path) -> Iterator[Deployment]:
    """A separate deployment for this test."""
    one = Deployment(tmp_path, bundle_path)
    yield one
    assert one.stop() == []


@pytest.fixture(scope="session")
def photo(photos: list[tuple[Path, str, int]]) -> Path:
    """An image with a certain label: a koala."""
    return next(path for path, _, _ in photos if path.name == "koala.jpg")


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    bundle_path: Path,
    photos: list[tuple[Path, str, int]],
) -> Iterator[Deployment]:
    """A deployment with one job that is done, for tests that only read: five images of which
    one is broken and one has a hostile name.
    """
    one = Deployment(tmp_path_factory.mktemp("finished"), bundle_path)
    for path, _, _ in photos:
        if path.name in LABELS:
            one.add_images(f"images/{path.name}", source=path)
        if path.name == "koala.jpg":
            one.add_images(f"images/{HOSTILE_NAME}", source=path)
    (one.folder / "images" / "broken.jpg").write_bytes(b"\xff\xd8\xff and then nothing of use")
    one.run("submit", "images", expect=3)
    one.job = one.job_id()
    yield one
    assert one.stop() == []
