"""A real browser for the tests of the pages.

They are skipped where there is none: a newcomer's tests pass without, and CI has one.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from iraas.web.config import WebConfig
from tests.browser.site import Site
from tests.browser.visitor import DESKTOP, WAIT_MS, Visitor, Visitors
from tests.functional.web.web_process import hurry

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
expect.set_options(timeout=WAIT_MS)

Visit = Callable[..., Visitor]
OpenSite = Callable[..., Site]


def find_browser() -> str:
    """The browser's path; empty if there is none."""
    named = os.environ.get("IRAAS_TEST_BROWSER", "")
    return (
        shutil.which(named) or "" if named else next(filter(None, map(shutil.which, BROWSERS)), "")
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


# Playwright keeps an event loop in this thread: it must end before other tests want one.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = find_browser()
    if not path:
        pytest.skip(
            "no browser: apt-get install chromium, or name one by its path in IRAAS_TEST_BROWSER"
        )
    with ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def visitors(browser: Browser) -> Visitors:
    return Visitors(browser)


@pytest.fixture
def visit(visitors: Visitors) -> Iterator[Visit]:
    """Opens windows, each of another user; checks all for faults at the end."""
    lent: list[tuple[Visitor, bool]] = []

    def open_window(
        url: str = "", *, size: tuple[int, int] = DESKTOP, theme: str = "light", script: bool = True
    ) -> Visitor:
        visitor = visitors.lend(size, theme, script=script)
        lent.append((visitor, script))
        if url:
            visitor.page.goto(url)
        return visitor

    yield open_window
    for visitor, script in lent:
        visitor.check()
        visitors.take_back(visitor, script=script)


@pytest.fixture(scope="package", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        yield


@pytest.fixture
def open_site() -> Iterator[OpenSite]:
    """Opens web tiers, each on a separate deployment."""
    sites: list[Site] = []

    def start(limits: WebConfig | None = None, token: str | None = None) -> Site:
        sites.append(Site(limits, token))
        return sites[-1]

    yield start
    for site in sites:
        site.close()


@pytest.fixture
def site(open_site: OpenSite) -> Site:
    return open_site()
