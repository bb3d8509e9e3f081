"""The upload page."""

from pathlib import Path

from playwright.sync_api import expect

from iraas.web.config import WebConfig
from tests.browser.conftest import OpenSite, Visit
from tests.browser.sample_images import BROKEN, image_bytes, write_images
from tests.browser.site import Site

LABELS = ("koala", "pig", "sheep")


def test_chosen_files_are_labelled(site: Site, visit: Visit, tmp_path: Path) -> None:
    site.hire()
    someone = visit(site.url)

    someone.choose(write_images(tmp_path, LABELS))

    expect(someone.headline()).to_have_text("Done: 3 labelled")
    expect(someone.card("01.jpg").locator(".label")).to_have_text("pig")


def test_a_dropped_folder_is_labelled_with_its_subfolders(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    site.hire()
    write_images(tmp_path / "zoo", LABELS)
    write_images(tmp_path / "zoo" / "birds", ("macaw",))
    (tmp_path / "zoo" / ".DS_Store").write_bytes(b"left behind")
    someone = visit(site.url)

    someone.drop([tmp_path / "zoo"])

    expect(someone.headline()).to_have_text("Done: 4 labelled")
    expect(someone.card("zoo/birds/00.jpg").locator(".label")).to_have_text("macaw")


def test_a_chosen_folder_is_labelled(site: Site, visit: Visit, tmp_path: Path) -> None:
    site.hire()
    write_images(tmp_path / "zoo", LABELS)
    someone = visit(site.url)

    someone.page.locator("#folder").set_input_files(tmp_path / "zoo")

    expect(someone.headline()).to_have_text("Done: 3 labelled")
    expect(someone.card("zoo/02.jpg").locator(".label")).to_have_text("sheep")


def test_a_pasted_image_is_labelled(site: Site, visit: Visit) -> None:
    site.hire()
    someone = visit(site.url)

    someone.hand_over("paste", [("image.png", image_bytes("koala"))])

    expect(someone.headline()).to_have_text("Done: 1 labelled")
    expect(someone.card("image.png").locator(".label")).to_have_text("koala")


def test_one_example_or_all_of_them_can_be_tried(site: Site, visit: Visit) -> None:
    site.hire()
    someone = visit(site.url)
    someone.page.get_by_role("button", name="Label red_panda.jpg").click()
    expect(someone.headline()).to_have_text("Done: 1 labelled")

    someone.page.get_by_role("link", name="Upload").click()
    someone.page.get_by_role("button", name="Try all 6").click()

    expect(someone.page).to_have_title("✓ 6 of 6 - iraas")
    expect(someone.headline()).to_have_text("Done: 6 labelled")
    someone.page.get_by_role("link", name="Upload").click()
    expect(someone.page.locator("#recent-list a")).to_have_text(["6 images", "1 image"])


def test_thumbnails_and_progress_show_at_once(
    open_site: OpenSite, visit: Visit, tmp_path: Path
) -> None:
    site = open_site(
        WebConfig(max_pending=0, capacity_wait_s=60.0)
    )  # nothing gets further than the door
    someone = visit(site.url)

    someone.choose(write_images(tmp_path, LABELS))

    tiles = someone.page.locator("#upload-list > .tile")
    expect(tiles).to_have_count(3)
    expect(someone.page.locator("#headline")).to_contain_text("retrying in")
    someone.wait_for_images(3, "#upload-list")


def test_files_that_are_not_images_are_named_and_the_rest_is_sent(
    open_site: OpenSite, visit: Visit, tmp_path: Path
) -> None:
    site = open_site(WebConfig(max_image_bytes=20_000))
    site.hire()
    good = write_images(tmp_path, ("koala", "pig"))
    (tmp_path / "notes.txt").write_text("no image at all")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "large.jpg").write_bytes(image_bytes("large") + bytes(20_000))
    someone = visit(site.url)

    someone.drop([good[0], tmp_path / "notes.txt", tmp_path / "empty.jpg", tmp_path / "large.jpg"])
    someone.drop([good[1]])

    refused = someone.page.locator("#refused-list > li")
    expect(refused).to_have_count(3)
    expect(refused.nth(0)).to_have_text(
        "notes.txt: it is not a JPEG, PNG, WebP, GIF, BMP or TIFF image"
    )
    expect(refused.nth(1)).to_have_text("empty.jpg: it is empty")
    expect(refused.nth(2)).to_contain_text("more than the 20,000 allowed")
    results = someone.page.get_by_role("link", name="See the results").first
    expect(results).to_be_visible()
    results.click()
    expect(someone.headline()).to_contain_text("Done")
    expect(someone.cards("ok").first).to_be_visible()


def test_files_with_equal_names_are_separate_images(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    site.hire()
    first = write_images(tmp_path / "a", ("koala",))
    second = write_images(tmp_path / "b", ("pig",))
    someone = visit(site.url)

    someone.drop([*first, *second])

    expect(someone.headline()).to_have_text("Done: 2 labelled")
    expect(someone.page.locator(".card .label")).to_have_text(["koala", "pig"])


def test_of_two_equal_names_only_the_refused_file_is_left_out(site: Site, visit: Visit) -> None:
    site.hire()
    someone = visit(site.url)
    site.stop()
    site.limits = WebConfig(max_image_bytes=20_000)  # the page was loaded before and knows another
    site.start()

    large = image_bytes("pig") + bytes(20_000)
    someone.hand_over("drop", [("same.jpg", large), ("same.jpg", image_bytes("koala"))])

    expect(someone.page.locator("#upload-list .state")).to_have_text(["refused", "sent"])
    expect(someone.page.locator("#refused-list > li")).to_contain_text(
        "more than the 20,000 allowed"
    )
    someone.page.get_by_role("link", name="See the results").click()
    expect(someone.headline()).to_have_text("Done: 1 labelled, 1 failed")
    expect(someone.page.locator(".card .label")).to_have_text(["refused", "koala"])


def test_an_upload_resumes_after_the_server_was_down(
    site: Site, visit: Visit, tmp_path: Path
) -> None:
    site.hire()
    someone = visit(site.url)
    site.stop()

    someone.choose(write_images(tmp_path, LABELS * 20))
    expect(someone.page.locator("#headline")).to_contain_text("cannot be reached")
    site.start()

    expect(someone.headline()).to_have_text("Done: 60 labelled")


def test_an_upload_that_is_rate_limited_waits_and_loses_nothing(
    open_site: OpenSite, visit: Visit, tmp_path: Path
) -> None:
    site = open_site(WebConfig(max_pending=10, capacity_wait_s=0.1))
    site.classifier.gate.clear()
    site.hire()
    someone = visit(site.url)

    someone.choose(write_images(tmp_path, LABELS * 13))
    expect(someone.page.locator("#headline")).to_contain_text("retrying in")
    site.classifier.gate.set()

    expect(someone.headline()).to_have_text("Done: 39 labelled")
    names = someone.page.locator(".card h3").all_text_contents()
    assert names == [f"{index:02}.jpg" for index in range(39)]


def test_an_upload_can_be_stopped_and_sent_images_are_labelled(
    open_site: OpenSite, visit: Visit, tmp_path: Path
) -> None:
    site = open_site(WebConfig(max_pending=10, capacity_wait_s=0.1))
    someone = visit(site.url)
    someone.choose(write_images(tmp_path, LABELS * 20))
    expect(someone.page.locator("#headline")).to_contain_text("retrying in")

    someone.page.get_by_role("button", name="Stop").click()
    someone.page.wait_for_url("**/jobs/*")
    site.hire()

    expect(someone.headline()).to_have_text("Done: 24 labelled")


def test_a_broken_image_does_not_affect_others(site: Site, visit: Visit, tmp_path: Path) -> None:
    site.hire()
    someone = visit(site.url)

    someone.choose(write_images(tmp_path, ("koala", BROKEN, "pig")))

    expect(someone.headline()).to_have_text("Done: 2 labelled, 1 failed")
    expect(someone.card("01.jpg").locator(".reason")).to_have_text(
        "the image is cut off in its middle"
    )


def test_a_logged_in_user_uploads_and_retries(
    open_site: OpenSite, visit: Visit, tmp_path: Path
) -> None:
    site = open_site(token="a secret")
    site.hire()
    someone = visit(site.url)
    someone.page.get_by_label("Token").fill("a secret")
    someone.page.keyboard.press("Enter")

    someone.choose(write_images(tmp_path, ("koala", BROKEN)))
    expect(someone.headline()).to_have_text("Done: 1 labelled, 1 failed")
    site.classifier.is_mended = True
    someone.page.get_by_role("button", name="Try again 01.jpg").click()

    expect(someone.headline()).to_have_text("Done: 2 labelled")
