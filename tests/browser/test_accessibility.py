"""Automatic checks of WCAG 2.2 AA, by mouse and keyboard, in both themes, on phone and desktop."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from iraas.web.config import WebConfig
from tests.browser.conftest import OpenSite, Visit
from tests.browser.sample_images import BROKEN, write_images
from tests.browser.site import Site
from tests.browser.visitor import DESKTOP, PHONE, Visitor

MIXED = (("koala.jpg", "koala"), ("cut off.jpg", None), ("pig.jpg", "pig"))


def clean(someone: Visitor) -> None:
    """No violation, in any theme and size."""
    page = someone.page
    for width, height in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            found = someone.axe()
            assert not found, f"{page.url} {theme} at {width} pixels: {found}"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_upload_page_has_no_violation(
    open_site: OpenSite, visit: Visit, tmp_path: Path
) -> None:
    site = open_site(WebConfig(max_pending=0, capacity_wait_s=60.0))
    job = site.make_job(MIXED)
    someone = visit(f"{site.url}/jobs/{job.job_id}")
    expect(someone.headline()).to_contain_text("Done")
    someone.page.goto(site.url)
    expect(someone.page.locator("#recent-list a")).to_have_count(1)
    clean(someone)

    (tmp_path / "notes.txt").write_text("no image")
    someone.drop([*write_images(tmp_path, ("koala", "pig")), tmp_path / "notes.txt"])

    expect(someone.page.locator("#refused-list > li")).to_have_count(1)
    clean(someone)


def test_the_results_page_has_no_violation_in_any_state(site: Site, visit: Visit) -> None:
    job = site.make_job(MIXED, waiting=2)
    someone = visit(f"{site.url}/jobs/{job.job_id}")
    expect(someone.headline()).to_contain_text("3 of 5")
    expect(someone.card("waiting 1.jpg")).to_be_visible()
    clean(someone)

    someone.page.get_by_role("button", name="koala.jpg").click()
    expect(someone.page.get_by_role("dialog")).to_be_visible()
    clean(someone)

    someone.page.goto(f"{site.url}/jobs/{site.make_job([]).job_id}")
    expect(someone.page.locator("#nothing")).to_be_visible()
    clean(someone)


def test_the_dashboard_has_no_violation(site: Site, visit: Visit, tmp_path: Path) -> None:
    site.hire()
    someone = visit(site.url)
    someone.choose(write_images(tmp_path, ("koala", BROKEN)))
    expect(someone.headline()).to_contain_text("Done")

    someone.page.get_by_role("link", name="Dashboard").click()

    expect(someone.page.locator("#connection")).to_have_text("live")
    expect(someone.page.locator("#jobs a")).to_be_visible()
    clean(someone)


@pytest.mark.parametrize("path", ["/docs", "/jobs/nothing"])
def test_the_other_pages_have_no_violation(site: Site, visit: Visit, path: str) -> None:
    clean(visit(site.url + path))


def test_a_rate_limited_page_says_when_to_retry(open_site: OpenSite, visit: Visit) -> None:
    someone = visit(open_site(WebConfig(request_burst=1, requests_per_s=0.01)).url)

    someone.page.get_by_role("link", name="API").click()

    expect(someone.page.get_by_role("heading", level=1)).to_have_text("Too many requests")
    expect(someone.page.locator("main")).to_contain_text("Try again in")
    clean(someone)


def test_the_login_page_has_no_violation(open_site: OpenSite, visit: Visit) -> None:
    someone = visit(open_site(token="a secret").url)
    clean(someone)

    someone.page.get_by_label("Token").fill("a guess")
    someone.page.keyboard.press("Enter")

    expect(someone.page.get_by_role("alert")).to_be_visible()
    clean(someone)


@pytest.fixture
def press(visit: Visit, site: Site) -> tuple[Visitor, Callable[[str], None]]:
    """A visitor with a keyboard alone, and what tabs to a name that must be seen to have focus."""
    someone = visit(site.url)

    def tab_to(name: str) -> None:
        for _ in range(60):
            someone.page.keyboard.press("Tab")
            name_and_description = someone.page.evaluate(
                "(document.activeElement.labels?.[0] ?? document.activeElement).textContent"
            )
            if name in " ".join(name_and_description.split()):
                outline = someone.page.evaluate(
                    "[document.activeElement, document.activeElement.closest('label, .card')]"
                    ".filter(Boolean).map((one) => getComputedStyle(one).outlineStyle)"
                )
                assert "solid" in outline, f"{name} is not seen to have the focus"
                return
        raise AssertionError(f"no {name} is reached by tabbing")

    return someone, tab_to


def test_everything_works_with_the_keyboard_alone(
    site: Site, press: tuple[Visitor, Callable[[str], None]], tmp_path: Path
) -> None:
    site.hire()
    someone, tab_to = press
    page = someone.page
    tab_to("Skip to the content")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    tab_to("Choose images")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([str(one) for one in write_images(tmp_path, ("koala", BROKEN))])
    expect(someone.headline()).to_have_text("Done: 1 labelled, 1 failed")

    site.classifier.is_mended = True
    tab_to("Try again")
    page.keyboard.press("Enter")
    expect(someone.headline()).to_have_text("Done: 2 labelled")
    expect(page.get_by_role("button", name="01.jpg")).to_be_focused()

    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="01.jpg")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="01.jpg")).to_be_focused()


def test_progress_is_announced_but_not_all_the_time(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    someone = visit(site.url)
    someone.choose(write_images(tmp_path, ("koala",) * 12))
    expect(someone.headline()).to_have_text("0 of 12")
    someone.page.evaluate(
        "window.said = []; new MutationObserver(() => said.push(document.getElementById('say')"
        ".textContent)).observe(document.getElementById('say'), { childList: true })"
    )

    site.hire()

    expect(someone.page.locator("#say")).to_have_text("Done: 12 labelled")
    assert len(someone.page.evaluate("said")) <= 2


def test_the_theme_can_be_switched_and_is_remembered(site: Site, visit: Visit) -> None:
    someone = visit(site.url, theme="light")
    toggle = someone.page.get_by_role("button", name="Dark theme")
    expect(toggle).to_have_attribute("aria-pressed", "false")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert someone.page.evaluate(ground) == "rgb(246, 247, 248)"

    toggle.click()
    someone.page.get_by_role("link", name="API").click()
    expect(someone.page.get_by_role("heading", level=1)).to_have_text("HTTP API")

    assert someone.page.evaluate(ground) == "rgb(18, 22, 26)"
    expect(toggle).to_have_attribute("aria-pressed", "true")
    assert someone.axe() == []


def test_a_violation_is_found(site: Site, visit: Visit) -> None:
    """Proves that the other tests of this module can fail."""
    someone = visit(f"{site.url}/docs")
    someone.page.evaluate("document.querySelector('main').append(document.createElement('img'))")
    with pytest.raises(AssertionError, match="image-alt"):
        clean(someone)
