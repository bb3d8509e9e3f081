"""Take the images of the web tier: ``.venv/bin/python docs/images/take_web_screenshots.py``.

Runs a deployment of its own with ``iraas up``, sends it images for some minutes, so that there is
a past to be seen, and looks at it with a real browser: on a phone and on a desk, light and dark.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

HERE = Path(__file__).parent
IMAGES = sorted((HERE.parents[1] / "examples" / "images").glob("*.jpg"))
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
COLOURS = 200
EVERY_S = 20.0
WAIT_MS = 60_000


@contextmanager
def deployment(home: str) -> Iterator[str]:
    """A deployment of its own; gives its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    environment = os.environ | {"IRAAS_HOME": home, "IRAAS_IDLE_TIMEOUT_S": "4"}
    command = [sys.executable, "-m", "iraas", "up", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        if not any("is up" in line for line in iter(process.stderr.readline, "")):
            sys.exit("iraas up did not come up")
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def open_page(browser: Browser, size: str, theme: str) -> Page:
    """A window of that size, in that theme."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        is_mobile=size == "phone",
        has_touch=size == "phone",
        reduced_motion="reduce",
        locale="en-GB",
    )
    context.set_default_timeout(WAIT_MS)
    return context.new_page()


def send(page: Page, url: str, times: int = 1) -> None:
    """Upload the example images, so many times."""
    page.goto(url)
    page.locator("#images").set_input_files([str(one) for one in IMAGES * times])
    page.wait_for_url("**/jobs/*")


def keep(page: Page, name: str) -> None:
    """Store what is to be seen, with fewer colours: a third of the bytes."""
    path = HERE / f"web-{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)


def take(browser: Browser, url: str, size: str, theme: str) -> None:
    """The pages in one size and theme."""
    page = open_page(browser, size, theme)
    ending = f"{size}-{theme}"
    page.goto(url)
    expect(page.locator(".examples img").last).to_be_visible()
    keep(page, f"upload-{ending}")
    send(page, url)
    expect(page.locator("#progress")).to_contain_text("Done", timeout=WAIT_MS)
    expect(page.locator("#cards img").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    keep(page, f"results-{ending}")
    page.goto(f"{url}/dashboard")
    expect(page.locator("#jobs a").first).to_be_visible()
    keep(page, f"dashboard-{ending}")
    page.context.close()


def make_a_past(browser: Browser, url: str, seconds: float) -> None:
    """Send images in waves, ever more of them."""
    pause = threading.Event()
    for wave in range(int(seconds / EVERY_S)):
        page = open_page(browser, "desktop", "light")
        send(page, url, 1 + wave)
        page.context.close()
        pause.wait(EVERY_S)


def main() -> None:
    """Take all images."""
    parser = argparse.ArgumentParser(description="Take the images of the web tier.")
    parser.add_argument("--seconds", type=float, default=160.0, help="how long a past to make")
    parser.add_argument("--browser", default=shutil.which("chromium"), help="the browser's path")
    options = parser.parse_args()
    arguments = ["--no-sandbox", "--headless=new", "--disable-gpu"]
    # The last workers may write a line more while they end.
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with folder as home, deployment(home) as url, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=options.browser, args=arguments)
        make_a_past(browser, url, options.seconds)
        page = open_page(browser, "desktop", "light")
        send(page, url, 6)
        expect(page.locator("#cards > .ok").nth(5)).to_be_visible()
        keep(page, "working-desktop-light")
        for size in SIZES:
            for theme in THEMES:
                take(browser, url, size, theme)
        browser.close()


if __name__ == "__main__":
    main()
