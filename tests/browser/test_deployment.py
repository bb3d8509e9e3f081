"""The complete system: ``iraas up``, its workers, and a browser."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.acceptance.deployment import Deployment
from tests.browser.conftest import Visit
from tests.browser.site import free_port

Photo = tuple[Path, str, int]


@pytest.fixture
def deployment(tmp_path: Path, bundle_path: Path) -> Iterator[Deployment]:
    one = Deployment(tmp_path / "home", bundle_path)
    try:
        yield one
    finally:
        one.stop()


@contextmanager
def running(deployment: Deployment, port: int, *command: str) -> Iterator[None]:
    """A command that has printed its address; killed at the end with its child processes."""
    with deployment.start(*command, "--port", str(port)) as process:
        try:
            assert process.stderr is not None
            assert any(f":{port}" in line for line in iter(process.stderr.readline, ""))
            yield
        finally:
            deployment.stop()


def test_twelve_images_are_labelled_though_the_web_tier_is_killed_before_any_is(
    deployment: Deployment, visit: Visit, photos: list[Photo], tmp_path: Path
) -> None:
    port = free_port()
    chosen = [path for path, _, _ in photos[:12]]
    with running(deployment, port, "serve-web", "--no-controller"):
        someone = visit(f"http://127.0.0.1:{port}")
        someone.drop(chosen)
        someone.page.wait_for_url("**/jobs/*")
        address = someone.page.url
        expect(someone.cards("waiting")).to_have_count(12)

    with running(deployment, port, "up"):
        expect(someone.cards("ok")).to_have_count(12)
        expect(someone.headline()).to_have_text("Done: 12 labelled")
        someone.page.reload()
        expect(someone.cards("ok")).to_have_count(12)
        expect(someone.card("espresso.jpg").locator(".label")).to_have_text("espresso")
        someone.wait_for_images(12, "#cards")
        with someone.page.expect_download() as download:
            someone.page.get_by_role("link", name="CSV").click()
        with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["name"] for row in rows} == {one.name for one in chosen}
        assert {row["status"] for row in rows} == {"ok"}
        someone.page.get_by_role("link", name="Dashboard").click()
        expect(someone.page.locator("#jobs")).to_contain_text("12 of 12")
        expect(someone.page.locator("#decisions")).to_contain_text("no image waits or is in flight")
        other = visit(address)
        expect(other.cards("ok")).to_have_count(12)
