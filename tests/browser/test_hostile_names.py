"""Hostile names and labels are shown as text."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.sample_images import image_bytes
from tests.browser.site import Site
from tests.browser.visitor import DESKTOP, PHONE

MARKUP = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>alert(1)</script>"
TURNED = "gnp.\u202eexe.jpg"
WIDE = "\ufdfd" * 40 + "\U0001f9d1\u200d\U0001f680.jpg"
LONG = "x" * 4090 + ".jpg"
NUL = "a\0b.jpg"
NAMES = (MARKUP, SCRIPT, TURNED, WIDE, LONG, NUL, "=cmd|'/c calc'!A1.jpg", "../../etc/passwd")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_hostile_names_and_labels_are_text_and_break_no_layout(
    site: Site, visit: Visit, size: tuple[int, int]
) -> None:
    site.hire()
    someone = visit(site.url, size=size)

    someone.hand_over(
        "drop", [(name, image_bytes(name[-60:], index)) for index, name in enumerate(NAMES)]
    )

    expect(someone.headline()).to_have_text(f"Done: {len(NAMES)} labelled")
    titles = someone.page.locator(".card h3").all_text_contents()
    assert titles[:5] == [MARKUP, SCRIPT, TURNED, WIDE, LONG]
    assert titles[-2:] == list(NAMES[-2:])
    expect(someone.cards().first.locator(".label")).to_have_text(MARKUP)
    assert someone.page.locator("main script:not([type='application/json'])").count() == 0
    assert fits(someone.page.evaluate)
    heights = someone.page.evaluate(
        "[...new Set([...document.querySelectorAll('.card')].map((one) => one.offsetHeight))]"
    )
    assert len(heights) == 1
    for card in someone.page.locator(".card .open").all()[:5]:
        card.click()
        assert fits(someone.page.evaluate)
        someone.page.keyboard.press("Escape")


def test_hostile_names_are_text_on_every_other_page(site: Site, visit: Visit) -> None:
    job = site.make_job([(name, name[:80].replace("\0", "")) for name in NAMES])
    someone = visit(f"{site.url}/jobs/{job.job_id}", script=False)
    assert someone.page.locator(".card h3").all_text_contents()[:3] == [MARKUP, SCRIPT, TURNED]
    assert fits(someone.page.evaluate)

    other = visit(site.url)
    other.hand_over("drop", [(name, b"no image") for name in NAMES])
    expect(other.page.locator("#refused-list > li")).to_have_count(len(NAMES))
    assert MARKUP in (other.page.locator("#refused-list").text_content() or "")
    assert fits(other.page.evaluate)


def fits(evaluate: object) -> bool:
    """Whether nothing makes the page wider than its window."""
    assert callable(evaluate)
    return bool(evaluate("document.documentElement.scrollWidth <= innerWidth"))
