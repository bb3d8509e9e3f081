"""A session that expires during work: the user logs in again, and nothing is lost."""

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import OpenSite, Visit
from tests.browser.sample_images import write_images
from tests.browser.visitor import Visitor

TOKEN = "a secret"


def log_in(someone: Visitor) -> None:
    someone.page.get_by_label("Token").fill(TOKEN)
    someone.page.keyboard.press("Enter")
    expect(someone.page.get_by_role("button", name="Log out")).to_be_visible()


def log_in_elsewhere(someone: Visitor) -> None:
    """Follow the link that the page shows, into another tab."""
    with someone.context.expect_page() as opened:
        someone.page.locator("#session-over a").click()
    log_in(Visitor(someone.context, opened.value))


def test_an_upload_waits_for_the_login_and_keeps_the_chosen_files(
    open_site: OpenSite, visit: Visit, tmp_path: Path
) -> None:
    site = open_site(token=TOKEN)
    site.hire()
    someone = visit(site.url)
    log_in(someone)
    someone.context.clear_cookies()

    someone.choose(write_images(tmp_path, ("koala", "pig")))
    expect(someone.page.locator("#session-over")).to_contain_text("session has expired. Log in")
    expect(someone.page.locator("#headline")).to_contain_text("until you have logged in")
    assert someone.axe() == []
    log_in_elsewhere(someone)

    expect(someone.headline()).to_have_text("Done: 2 labelled")


def test_a_login_in_another_tab_renews_the_session_unnoticed(
    open_site: OpenSite, visit: Visit, tmp_path: Path
) -> None:
    site = open_site(token=TOKEN)
    site.hire()
    someone = visit(site.url)
    log_in(someone)
    someone.context.clear_cookies()
    other = Visitor(someone.context, someone.context.new_page())
    other.page.goto(site.url)
    log_in(other)

    someone.choose(write_images(tmp_path, ("koala", "pig")))

    expect(someone.headline()).to_have_text("Done: 2 labelled")


def test_the_dashboard_reports_an_expired_session_and_resumes_after_a_login(
    open_site: OpenSite, visit: Visit
) -> None:
    someone = visit(f"{open_site(token=TOKEN).url}/dashboard?span=1h")
    log_in(someone)
    connection = someone.page.locator("#connection")
    expect(connection).to_have_text("live")
    assert someone.page.url.endswith("/dashboard?span=1h")

    someone.context.clear_cookies()

    expect(connection).to_have_text("your session has expired")
    log_in_elsewhere(someone)
    expect(connection).to_have_text("live")
    expect(someone.page.locator("#session-over")).to_have_count(0)


def test_the_results_page_reports_an_expired_session_and_resumes_after_a_login(
    open_site: OpenSite, visit: Visit
) -> None:
    site = open_site(token=TOKEN)
    job = site.make_job([], waiting=1)
    someone = visit(f"{site.url}/jobs/{job.job_id}")
    log_in(someone)
    expect(someone.headline()).to_have_text("0 of 1")

    someone.context.clear_cookies()
    site.stop()
    site.start()

    expect(someone.page.locator("#session-over")).to_be_visible()
    site.store(job.job_id, 0, "waiting 0.jpg", "koala")
    log_in_elsewhere(someone)
    expect(someone.headline()).to_have_text("Done: 1 labelled")


def test_without_a_script_the_login_says_that_the_upload_was_not_accepted(
    open_site: OpenSite, visit: Visit
) -> None:
    someone = visit(open_site(token=TOKEN).url, script=False)
    log_in(someone)
    someone.context.clear_cookies()

    someone.page.get_by_role("button", name="Try all 6").click()

    expect(someone.page.locator("main")).to_contain_text("what you just sent was not accepted")
    log_in(someone)
    expect(someone.page.get_by_role("button", name="Try all 6")).to_be_visible()


def test_before_the_login_no_other_page_is_linked(open_site: OpenSite, visit: Visit) -> None:
    someone = visit(open_site(token=TOKEN).url)
    expect(someone.page.get_by_role("heading", level=1)).to_have_text("Log in")
    expect(someone.page.get_by_role("navigation")).to_have_count(0)


def test_without_a_token_there_is_no_login(open_site: OpenSite, visit: Visit) -> None:
    someone = visit(f"{open_site().url}/login")
    expect(someone.page.get_by_role("heading", level=1)).to_have_text("What is in your images?")
