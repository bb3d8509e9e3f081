"""A job of thousands stays light, while it fills in and afterwards."""

import threading

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.site import Site

MANY = 3000
MOST_CARDS = 80
OUTCOMES = [(f"{one:04}.jpg", f"label {one % 40}" if one % 100 else None) for one in range(MANY)]


def test_only_the_cards_near_the_screen_exist(site: Site, visit: Visit) -> None:
    job = site.make_job(OUTCOMES)
    someone = visit(f"{site.url}/jobs/{job.job_id}")
    expect(someone.headline()).to_have_text("Done: 2,970 labelled, 30 failed")
    expect(someone.page.locator("#count-ok")).to_have_text("2,970")
    assert someone.cards().count() <= MOST_CARDS
    expect(someone.cards().first).to_have_attribute("aria-setsize", "3000")

    someone.page.keyboard.press("End")

    expect(someone.card("2999.jpg")).to_be_in_viewport()
    expect(someone.card("2999.jpg")).to_have_attribute("aria-posinset", "3000")
    assert someone.cards().count() <= MOST_CARDS
    someone.page.get_by_label("Failed").check()
    expect(someone.cards("failed")).to_have_count(30)


def test_a_job_of_thousands_fills_in_while_it_is_watched(site: Site, visit: Visit) -> None:
    job = site.make_job([], waiting=MANY)
    someone = visit(f"{site.url}/jobs/{job.job_id}")
    expect(someone.card("waiting 0.jpg")).to_be_visible()
    expect(someone.headline()).to_have_text("0 of 3,000")

    def work() -> None:
        for index in range(MANY):
            site.store(job.job_id, index, f"waiting {index}.jpg", f"label {index}")

    worker = threading.Thread(target=work)
    worker.start()
    someone.page.keyboard.press("End")
    expect(someone.card("waiting 2999.jpg")).to_be_visible()

    expect(someone.headline()).to_have_text("Done: 3,000 labelled")
    worker.join()
    expect(someone.card("waiting 2999.jpg").locator(".label")).to_have_text("label 2999")
