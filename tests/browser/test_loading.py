"""A page that is still loading offers no controls without function."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.browser.conftest import Visit
from tests.browser.site import Site
from tests.browser.visitor import Visitor


@contextmanager
def held_back(someone: Visitor, module: str) -> Iterator[None]:
    """The page's script does not arrive before the end of the block."""
    held: list[Route] = []
    someone.page.route(f"**/static/{module}.js", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks the function
    yield
    assert held, f"{module}.js was not asked for"
    for route in held:
        route.continue_()


def look_of(what: Locator) -> str:
    """Whether it is laid out and visible."""
    problem: str = what.evaluate(
        "(one) => `${one.offsetHeight > 0} ${getComputedStyle(one).visibility}`"
    )
    return problem


@pytest.mark.parametrize(
    ("module", "path", "what"),
    [("upload", "/", "#choose"), ("upload", "/", "#choose-folder"), ("job", "/jobs/{}", "#copy")],
)
def test_controls_that_need_a_script_are_shown_once_it_has_run(
    site: Site, visit: Visit, module: str, path: str, what: str
) -> None:
    job = site.make_job([("a.jpg", "koala"), ("b.jpg", "pig")])
    someone = visit()
    button = someone.page.locator(what)
    with held_back(someone, module):
        someone.page.goto(site.url + path.format(job.job_id), wait_until="commit")
        button.wait_for(state="attached")
        someone.wait_for("document.styleSheets.length === 2")
        assert look_of(button) == "true hidden"  # its space is there: nothing moves later
        expect(someone.page.locator(".plain-form").filter(visible=True)).to_have_count(0)
    expect(button).to_be_visible()
    assert look_of(button) == "true visible"


def test_the_theme_can_be_switched_before_the_page_is_ready(site: Site, visit: Visit) -> None:
    someone = visit()
    with held_back(someone, "upload"):
        someone.page.goto(site.url, wait_until="commit")
        toggle = someone.page.get_by_role("button", name="Dark theme")
        toggle.click()
        expect(toggle).to_have_attribute("aria-pressed", "true")
