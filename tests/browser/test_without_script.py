"""Everything essential works in a browser that runs no script."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenSite, Visit
from tests.browser.sample_images import BROKEN, write_images
from tests.browser.site import Site
from tests.waiting import wait_until


def test_images_are_uploaded_and_their_labels_shown(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    site.hire()
    someone = visit(site.url, script=False)
    page = someone.page
    expect(page.get_by_role("button", name="Choose a folder")).to_be_hidden()

    page.get_by_label("Choose images").set_input_files(write_images(tmp_path, ("koala", BROKEN)))
    with page.expect_navigation(url="**/jobs/*"):
        page.get_by_role("button", name="Label them").click()
    wait_until(lambda: site.backend.requests.depth().total == 0, "all are labelled")
    page.reload()

    expect(page.locator(".card .label")).to_have_text(["koala", "failed"])
    site.classifier.is_mended = True
    with page.expect_navigation():
        page.get_by_role("button", name="Try again 01.jpg").click()
    wait_until(lambda: site.backend.requests.depth().total == 0, "it is tried again")
    page.reload()
    expect(page.locator(".card .label")).to_have_text(["koala", BROKEN])


def test_more_images_than_fit_a_page_are_behind_a_link(site: Site, visit: Visit) -> None:
    job = site.make_job([(f"{one:03}.jpg", "koala") for one in range(130)])
    someone = visit(f"{site.url}/jobs/{job.job_id}", script=False)
    expect(someone.cards()).to_have_count(100)

    someone.page.get_by_role("link", name="More images").click()

    expect(someone.cards()).to_have_count(30)


def test_a_job_is_cancelled_after_confirmation(site: Site, visit: Visit) -> None:
    job = site.make_job([("a.jpg", "koala")], waiting=2)
    someone = visit(f"{site.url}/jobs/{job.job_id}", script=False)
    someone.page.get_by_role("link", name="Cancel").click()
    expect(someone.page.get_by_role("heading", level=1)).to_have_text("Cancel this job?")

    someone.page.get_by_role("button", name="Cancel the job").click()

    expect(someone.headline()).to_have_text("Cancelled: 1 of 3 done, 2 were already queued")
    expect(someone.page.get_by_role("link", name="Cancel")).to_be_hidden()


@pytest.mark.parametrize("script", [True, False])
def test_a_finished_job_is_deleted_after_confirmation(
    site: Site, visit: Visit, *, script: bool
) -> None:
    job = site.make_job([("a.jpg", "koala")], waiting=1)
    someone = visit(f"{site.url}/jobs/{job.job_id}", script=script)
    expect(someone.page.get_by_role("link", name="Delete")).to_be_hidden()
    site.store(job.job_id, 1, "b.jpg", "pig")
    someone.page.reload()
    someone.page.get_by_role("link", name="Delete").click()
    expect(someone.page.get_by_role("heading", level=1)).to_have_text("Delete this job?")
    assert not script or someone.axe() == []

    someone.page.get_by_role("button", name="Delete the job").click()

    expect(someone.page).to_have_url(f"{site.url}/")
    someone.page.goto(f"{site.url}/jobs/{job.job_id}")
    expect(someone.page.get_by_role("heading", level=1)).to_have_text("Page not found")
    assert not any(site.backend.inputs.list(f"{job.job_id}/"))


def test_a_retry_is_offered_only_where_something_can_be_retried(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    (tmp_path / "notes.jpg").write_text("no image")
    someone = visit(site.url, script=False)
    someone.page.get_by_label("Choose images").set_input_files(tmp_path / "notes.jpg")
    with someone.page.expect_navigation(url="**/jobs/*"):
        someone.page.get_by_role("button", name="Label them").click()

    expect(someone.headline()).to_have_text("Done: 1 failed")
    expect(someone.page.get_by_role("button", name="Retry the failed")).to_be_hidden()


def test_a_user_logs_in_visits_each_page_and_logs_out(open_site: OpenSite, visit: Visit) -> None:
    site = open_site(token="a secret")
    someone = visit(f"{site.url}/dashboard", script=False)
    page = someone.page
    page.get_by_label("Token").fill("a guess")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("Wrong token.")

    page.get_by_label("Token").fill("a secret")
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Dashboard")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
