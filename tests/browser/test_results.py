"""The results page."""

import csv
import json
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.sample_images import BROKEN, image_bytes, write_images
from tests.browser.site import Site
from tests.browser.visitor import PHONE, Visitor

ZOO = (("b.jpg", "pig"), ("a10.jpg", "koala"), ("a9.jpg", None), ("c.jpg", "sheep"))


def test_cards_fill_in_as_the_workers_work(site: Site, visit: Visit, tmp_path: Path) -> None:
    site.classifier.gate.clear()
    someone = visit(site.url)
    someone.choose(write_images(tmp_path, ("koala",) * 12))
    expect(someone.headline()).to_have_text("0 of 12")
    expect(someone.cards("waiting")).to_have_count(12)
    expect(someone.card("07.jpg")).to_be_visible()

    site.hire()
    site.classifier.gate.set()

    expect(someone.cards("ok")).to_have_count(12)
    expect(someone.headline()).to_have_text("Done: 12 labelled")
    expect(someone.page).to_have_title("✓ 12 of 12 - iraas")
    someone.wait_for_images(12, "#cards")


def test_a_page_resumes_by_itself_after_the_server_was_down(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    site.classifier.gate.clear()
    site.hire()
    someone = visit(site.url)
    someone.choose(write_images(tmp_path, ("koala",) * 12))
    expect(someone.cards("waiting")).to_have_count(12)

    site.stop()
    expect(someone.page.locator("#away")).to_be_visible()
    site.classifier.gate.set()
    site.start()

    expect(someone.headline()).to_have_text("Done: 12 labelled")
    expect(someone.cards("ok")).to_have_count(12)
    expect(someone.page.locator("#away")).to_be_hidden()


def test_a_failed_image_can_be_retried(site: Site, visit: Visit, tmp_path: Path) -> None:
    site.hire()
    someone = visit(site.url)
    someone.choose(write_images(tmp_path, ("koala", BROKEN, "pig")))
    expect(someone.headline()).to_have_text("Done: 2 labelled, 1 failed")

    site.classifier.is_mended = True
    someone.page.get_by_role("button", name="Try again 01.jpg").click()

    expect(someone.headline()).to_have_text("Done: 3 labelled")
    expect(someone.card("01.jpg").locator(".label")).to_have_text(BROKEN)


def test_a_failed_image_that_fails_again_is_marked(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    site.hire()
    someone = visit(site.url)
    someone.choose(write_images(tmp_path, ("koala", BROKEN)))
    expect(someone.headline()).to_have_text("Done: 1 labelled, 1 failed")
    site.dismiss()

    someone.page.get_by_role("button", name="Retry the failed").click()
    expect(someone.card("01.jpg")).to_have_class(re.compile("waiting"))
    site.hire()

    expect(someone.headline()).to_have_text("Done: 1 labelled, 1 failed")
    expect(someone.card("01.jpg")).to_have_class(re.compile("failed"))


def test_images_can_be_filtered_and_sorted(site: Site, visit: Visit) -> None:
    job = site.make_job(ZOO, waiting=1)
    someone = visit(f"{site.url}/jobs/{job.job_id}")
    names = someone.page.locator(".card h3")
    expect(names).to_have_text(["b.jpg", "a10.jpg", "a9.jpg", "c.jpg", "waiting 0.jpg"])

    def sort(text: str) -> None:
        someone.page.get_by_label("Order").select_option(text)

    sort("Sort by name")
    expect(names).to_have_text(["a9.jpg", "a10.jpg", "b.jpg", "c.jpg", "waiting 0.jpg"])
    sort("Sort by label")
    expect(names).to_have_text(["a10.jpg", "b.jpg", "c.jpg", "a9.jpg", "waiting 0.jpg"])
    sort("Sort most doubtful first")
    expect(names).to_have_text(["c.jpg", "a10.jpg", "b.jpg", "a9.jpg", "waiting 0.jpg"])
    sort("Sort slowest first")
    expect(names).to_have_text(["c.jpg", "a9.jpg", "a10.jpg", "b.jpg", "waiting 0.jpg"])

    someone.page.get_by_label("Failed").check()
    expect(names).to_have_text(["a9.jpg"])
    someone.page.get_by_label("All").check()
    someone.page.get_by_label("Find by name or label").fill("PIG")
    expect(names).to_have_text(["b.jpg"])
    someone.page.get_by_label("Find by name or label").fill("nowhere")
    expect(someone.page.locator("#nothing")).to_have_text("No image matches 'nowhere'.")


def test_outcomes_can_be_downloaded(site: Site, visit: Visit) -> None:
    job = site.make_job(ZOO)
    someone = visit(f"{site.url}/jobs/{job.job_id}")

    with someone.page.expect_download() as download:
        someone.page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == f"iraas-{job.job_id}.csv"
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["pig", "koala", "", "sheep"]
    with someone.page.expect_download() as download:
        someone.page.get_by_role("link", name="JSON").click()
    outcomes = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert [one["name"] for one in outcomes] == [name for name, _ in ZOO]


def test_the_link_can_be_copied(site: Site, visit: Visit) -> None:
    job = site.make_job(ZOO)
    someone = visit(f"{site.url}/jobs/{job.job_id}")
    someone.context.grant_permissions(["clipboard-read", "clipboard-write"])

    someone.page.get_by_role("button", name="Copy link").click()

    expect(someone.page.get_by_role("button", name="Copied")).to_be_visible()
    copied = someone.page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{site.url}/jobs/{job.job_id}"


def test_a_card_opens_a_window_with_all_details(site: Site, visit: Visit) -> None:
    job = site.make_job(ZOO)
    someone = visit(f"{site.url}/jobs/{job.job_id}")

    someone.page.get_by_role("button", name="a10.jpg", exact=True).click()

    window = someone.page.get_by_role("dialog", name="a10.jpg")
    expect(window).to_contain_text("scripted@00000000")
    expect(window.locator("img")).to_be_visible()
    someone.page.keyboard.press("Escape")
    expect(window).to_be_hidden()
    expect(someone.page.get_by_role("button", name="a10.jpg", exact=True)).to_be_focused()


def test_two_people_see_their_own_images_only(site: Site, visit: Visit, tmp_path: Path) -> None:
    site.hire()
    one, other = visit(site.url), visit(site.url)

    one.choose(write_images(tmp_path / "one", ("koala",) * 6))
    other.choose(write_images(tmp_path / "other", ("pig",) * 4))

    expect(one.headline()).to_have_text("Done: 6 labelled")
    expect(other.headline()).to_have_text("Done: 4 labelled")
    expect(one.page.locator(".card .label")).to_have_text(["koala"] * 6)
    expect(other.page.locator(".card .label")).to_have_text(["pig"] * 4)
    one.page.goto(site.url)
    expect(one.page.locator("#recent-list a")).to_have_text(["6 images"])


def test_a_job_that_is_empty_cancelled_or_unknown_says_so(site: Site, visit: Visit) -> None:
    someone = visit(f"{site.url}/jobs/{site.make_job([]).job_id}")
    expect(someone.page.locator("#nothing")).to_have_text("This job has no images.")

    job = site.make_job(ZOO, waiting=2)
    someone.page.request.post(f"{site.url}/api/v1/jobs/{job.job_id}/cancel")
    someone.page.goto(f"{site.url}/jobs/{job.job_id}")
    expect(someone.headline()).to_have_text("Cancelled: 4 of 6 done, 2 were already queued")

    someone.page.goto(f"{site.url}/jobs/{'0' * 26}")
    expect(someone.page.get_by_role("heading", level=1)).to_have_text("Page not found")
    expect(someone.page.get_by_role("link", name="To the upload page")).to_be_visible()


def test_a_job_can_be_cancelled_from_its_page_and_images_in_flight_still_count(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    someone = visit(site.url)
    someone.choose(write_images(tmp_path, ("koala",) * 6))
    expect(someone.headline()).to_have_text("0 of 6")

    someone.page.get_by_role("link", name="Cancel").click()
    someone.page.get_by_role("button", name="Keep running").click()
    expect(someone.headline()).to_have_text("0 of 6")
    someone.page.get_by_role("link", name="Cancel").click()
    assert someone.axe() == []
    someone.page.get_by_role("button", name="Cancel the job").click()
    expect(someone.headline()).to_have_text("Cancelled: 0 of 6 done, 6 were already queued")
    expect(someone.page.get_by_role("link", name="Cancel")).to_be_hidden()
    site.hire()

    expect(someone.headline()).to_have_text("Cancelled: 6 labelled")
    expect(someone.cards("ok")).to_have_count(6)


def test_a_cancelled_job_offers_no_retry(site: Site, visit: Visit) -> None:
    job = site.make_job(ZOO, waiting=1)
    someone = visit()
    someone.page.request.post(f"{site.url}/api/v1/jobs/{job.job_id}/cancel")
    for script in (True, False):
        someone = visit(f"{site.url}/jobs/{job.job_id}", script=script)
        expect(someone.headline()).to_contain_text("Cancelled: 4 of 5")
        expect(someone.page.get_by_role("button", name="Retry the failed")).to_be_hidden()
        expect(someone.page.get_by_role("button", name="Try again a9.jpg")).to_be_hidden()


def test_filters_and_search_appear_only_where_useful(site: Site, visit: Visit) -> None:
    few = site.make_job((("a.jpg", "koala"), ("b.jpg", "pig")))
    someone = visit(f"{site.url}/jobs/{few.job_id}")
    expect(someone.page.get_by_label("Labelled")).to_be_visible()
    expect(someone.page.get_by_label("Failed")).to_be_hidden()
    expect(someone.page.get_by_label("Find by name or label")).to_be_hidden()

    many = site.make_job(
        [(f"{one}.jpg", "koala" if one % 40 else None) for one in range(4000)], waiting=1
    )
    someone.page.goto(f"{site.url}/jobs/{many.job_id}")
    expect(someone.page.get_by_label("Find by name or label")).to_be_visible()
    expect(someone.page.locator("#count-ok")).to_have_text("3,900")
    assert rows(someone, ".tools > *") == 1
    someone.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert rows(someone, ".summary .actions > *, .tools > *") == 2
    someone.page.get_by_role("button", name="Find and sort").click()
    expect(someone.page.get_by_label("Order")).to_be_visible()


def rows(someone: Visitor, what: str) -> int:
    """The number of rows in which the visible elements are laid out."""
    middles = (
        "(what) => new Set([...document.querySelectorAll(what)].filter((one) => one.offsetHeight)"
        ".map((one) => one.getBoundingClientRect()).map((box) => Math.round(box.y + box.height / 2)"
        ")).size"
    )
    found: int = someone.page.evaluate(middles, what)
    return found


def test_a_failed_image_is_shown_if_it_can_be_and_no_request_fails(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    site.hire()
    someone = visit(site.url)
    failures: list[str] = []
    someone.page.on("response", lambda one: failures.append(one.url) if one.status >= 400 else None)
    someone.hand_over(
        "drop",
        [("broken.jpg", image_bytes(BROKEN)), ("cut.jpg", b"\xff\xd8\xffbroken, label:broken")],
    )

    expect(someone.headline()).to_have_text("Done: 2 failed")
    someone.wait_for_images(2, "#cards")
    widths = "[...document.querySelectorAll('#cards img')].map((one) => one.naturalWidth)"
    assert someone.page.evaluate(widths) == [64, 24]
    assert failures == []
