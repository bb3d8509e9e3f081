"""Measure how smooth the results page of a large job is.

Prints, for each thing that somebody does, the longest task of the page's thread (over 50 ms, as
browsers count), and the frames that came late.
"""

import argparse
import json
import threading
from collections.abc import Callable

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, find_browser
from tests.browser.site import Site

WATCH = """
window.tasks = [];
new PerformanceObserver((list) => tasks.push(...list.getEntries().map((one) => one.duration)))
  .observe({ type: "longtask", buffered: true });
window.frames = [];
let last = performance.now();
const next = (now) => { frames.push(now - last); last = now; requestAnimationFrame(next); };
requestAnimationFrame(next);
"""
LATE_MS = 20.0
PAUSE_MS = 400


def report(page: Page, what: str) -> None:
    """Report the events since the last call."""
    tasks, frames = page.evaluate("[tasks.splice(0), frames.splice(0)]")
    late = sum(one > LATE_MS for one in frames)
    report = {
        "what": what,
        "longest_task_ms": round(max(tasks, default=0)),
        "frames": len(frames),
        "late_frames": late,
        "longest_frame_ms": round(max(frames, default=0)),
        "nodes": page.evaluate("document.querySelectorAll('*').length"),
    }
    print(json.dumps(report))  # noqa: T201 - its output


def fill_in(site: Site, page: Page, count: int) -> None:
    """A job whose outcomes arrive while its page is open."""
    job = site.make_job([], waiting=count)
    page.goto(f"{site.url}/jobs/{job.job_id}")
    expect(page.locator(".card").first).to_be_visible()
    report(page, "opened, all waiting")

    def work() -> None:
        for index in range(count):
            site.store(job.job_id, index, f"waiting {index}.jpg", f"label {index}")

    worker = threading.Thread(target=work)
    worker.start()
    expect(page.locator("#progress")).to_contain_text("Done", timeout=300_000)
    worker.join()
    report(page, "filled in")


def use(page: Page, count: int) -> None:
    """Typical actions on a results page."""
    page.reload()
    expect(page.locator("#count-ok")).to_have_text(f"{count:,}")
    report(page, "loaded again")
    page.mouse.move(600, 600)
    for _ in range(60):
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(16)
    report(page, "scrolled")

    def after(act: Callable[[], object]) -> None:
        act()
        page.wait_for_timeout(PAUSE_MS)

    for order in ("name", "label", "surest", "index"):
        after(lambda order=order: page.select_option("#sort", order))  # type: ignore[misc]
    report(page, "sorted four times")
    after(lambda: page.fill("#find", "label 12"))
    after(lambda: page.fill("#find", ""))
    report(page, "searched")


def main() -> None:
    """Measure one job."""
    parser = argparse.ArgumentParser(description="Measure the results page of a large job.")
    parser.add_argument("count", type=int, nargs="?", default=3000)
    count = parser.parse_args().count
    site = Site()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.add_init_script(WATCH)
        fill_in(site, page, count)
        use(page, count)
        browser.close()
    site.close()


if __name__ == "__main__":
    main()
