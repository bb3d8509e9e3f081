"""The dashboard."""

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.sample_images import write_images
from tests.browser.site import Site
from tests.waiting import wait_until


def test_the_dashboard_follows_the_deployment_by_itself(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    dashboard = visit(f"{site.url}/dashboard")
    watcher = dashboard.page
    waiting = watcher.locator("#figures div").filter(has_text="Waiting").locator("dd")
    expect(watcher.locator("#connection")).to_have_text("live")
    expect(waiting).to_have_text("0")

    visit(site.url).choose(write_images(tmp_path, ("koala",) * 12))

    expect(waiting).to_have_text("12")
    expect(watcher.locator("#jobs tr")).to_contain_text("0 of 12")
    site.hire()
    expect(waiting).to_have_text("0")
    expect(watcher.locator("#jobs tr time")).to_contain_text("ago")


def test_updates_do_not_move_what_somebody_reads(site: Site, visit: Visit, tmp_path: Path) -> None:
    dashboard = visit(f"{site.url}/dashboard")
    watcher = dashboard.page
    expect(watcher.locator("#connection")).to_have_text("live")
    region = watcher.get_by_role("region", name="Recent jobs")
    region.focus()

    visit(site.url).choose(write_images(tmp_path, ("koala",)))

    expect(region).to_contain_text("0 of 1")
    expect(region).to_be_focused()


def test_history_survives_a_restart(site: Site, visit: Visit, tmp_path: Path) -> None:
    someone = visit(site.url)
    someone.choose(write_images(tmp_path, ("koala",) * 12))
    someone.page.wait_for_url("**/jobs/*")
    dashboard = visit(f"{site.url}/dashboard?span=1h")
    page = dashboard.page
    expect(page.locator("#charts figure").first).to_contain_text("waiting 12")
    wait_until(lambda: 12 in site.depths_noted(), "a sample is taken")

    site.stop()
    site.backend.requests.clear()
    site.start()
    page.reload()

    chart = page.locator("#charts figure").first
    wait_until(lambda: "most 12" in (chart.text_content() or ""), "the past is there")
    assert "12 at most" in (chart.locator("desc").text_content() or "")
    expect(page.locator("nav[aria-label='Time shown'] [aria-current]")).to_have_text("1 h")


def test_jobs_that_this_browser_knows_can_be_opened(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    site.hire()
    mine, other = visit(site.url), visit(site.url)
    mine.choose(write_images(tmp_path, ("koala",)))
    expect(mine.headline()).to_have_text("Done: 1 labelled")

    mine.page.get_by_role("link", name="Dashboard").click()
    other.page.get_by_role("link", name="Dashboard").click()

    expect(other.page.locator("#jobs tr")).to_contain_text("1 of 1")
    expect(other.page.locator("#jobs a")).to_have_count(0)
    mine.page.locator("#jobs a").click()
    expect(mine.headline()).to_have_text("Done: 1 labelled")
