"""A user with a browser, and the faults that no page may have."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page

from tests.waiting import wait_until

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
AXE_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
DESKTOP = (1280, 900)
PHONE = (390, 844)
WAIT_MS = 120_000
POLICY = "Content Security Policy"
READY = ":root:is(.ready, :not(.js))"
"""A page whose script has run, or has none: before, links lead where they lead without a script."""

_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
});
"""
_FILES = """(files) => {
  const transfer = new DataTransfer();
  for (const { name, type, data } of files) {
    const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  return transfer;
}"""


@dataclass
class Visitor:
    """A user's browser window.

    Attributes:
        context: Another context has its own cookies: another user.
        page: The window.
        faults: Its faults: script errors, dialogs, violations of the content security
            policy.
    """

    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("console", self._heard)
        # From now on, for it takes a while until choosers are caught: a key is quicker.
        self.page.on("filechooser", lambda _: None)
        self.page.add_init_script(_WATCH)

    def _heard(self, message: ConsoleMessage) -> None:
        if POLICY in message.text:
            self.faults.append(message.text)

    def check(self) -> None:
        """Assert that no fault occurred."""
        assert self.faults == []
        assert self.page.evaluate("window.violations ?? []") == []

    # Ways to hand over images

    def choose(self, paths: Sequence[Path]) -> None:
        """Choose files with the button."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Choose images").click()
        chooser.value.set_files([str(one) for one in paths])

    def drop(self, paths: Sequence[Path]) -> None:
        """Drag files and folders from the desktop and drop them, as the operating system does."""
        box = self.page.locator("#drop").bounding_box()
        assert box is not None
        where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 20}
        data = {"items": [], "files": [str(one) for one in paths], "dragOperationsMask": 1}
        tools = self.context.new_cdp_session(self.page)
        for kind in ("dragEnter", "dragOver", "drop"):
            tools.send("Input.dispatchDragEvent", {"type": kind, "data": data, **where})
        tools.detach()

    def hand_over(self, event: str, files: Sequence[tuple[str, bytes]]) -> None:
        """Drop or paste files that have any name, also one that no file system allows."""
        given = [
            {"name": name, "type": "image/jpeg", "data": base64.b64encode(data).decode()}
            for name, data in files
        ]
        transfer = self.page.evaluate_handle(_FILES, given)
        if event == "drop":
            self.page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
        else:
            self.page.evaluate(
                "(data) => document.dispatchEvent(new ClipboardEvent('paste', "
                "{ clipboardData: data, bubbles: true }))",
                transfer,
            )

    def wait_for(self, condition: str) -> None:
        """Wait until an expression in JavaScript is true."""
        wait_until(lambda: self.page.evaluate(condition), condition)

    def wait_for_images(self, number: int, where: str) -> None:
        """Wait until that many images are loaded below an element."""
        self.wait_for(
            f"[...document.querySelectorAll('{where} img')]"
            f".filter((one) => one.naturalWidth).length === {number}"
        )

    # Visible content

    def cards(self, kind: str = "") -> Locator:
        """The cards, or those of one kind: ok, failed, waiting."""
        return self.page.locator(f"{READY} #cards > .card{'.' + kind if kind else ''}")

    def card(self, name: str) -> Locator:
        """The card of an image."""
        return self.cards().filter(has=self.page.get_by_role("heading", name=name, exact=True))

    def headline(self) -> Locator:
        """The progress of the job."""
        return self.page.locator(f"{READY} #progress")

    def axe(self) -> list[str]:
        """The violations that axe finds on the page as it is now."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE)
        found: list[dict[str, Any]] = self.page.evaluate(
            "(tags) => axe.run({ runOnly: tags }).then((found) => found.violations)", list(AXE_TAGS)
        )
        return [
            f"{one['id']}: {one['help']}: {node['html'][:150]} {node.get('failureSummary', '')}"
            for one in found
            for node in one["nodes"]
        ]


class Visitors:
    """Opens windows, each of another person, and hands on the contexts of those that are over: a
    new one costs a third of a test. What a site stored stays with its origin, which no other test
    has; cookies and permissions are forgotten.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._idle: dict[bool, list[BrowserContext]] = {True: [], False: []}

    def lend(self, size: tuple[int, int], theme: str, *, script: bool) -> Visitor:
        """A window that shows nothing yet."""
        idle = self._idle[script]
        context = idle.pop() if idle else self._open(script=script)
        visitor = Visitor(context, context.new_page())
        visitor.page.set_viewport_size({"width": size[0], "height": size[1]})
        visitor.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        return visitor

    def take_back(self, visitor: Visitor, *, script: bool) -> None:
        """Close all windows of a visitor without faults, and reuse the context."""
        for page in visitor.context.pages:
            page.close()
        visitor.context.clear_cookies()
        visitor.context.clear_permissions()
        self._idle[script].append(visitor.context)

    def _open(self, *, script: bool) -> BrowserContext:
        context = self._browser.new_context(
            viewport={"width": DESKTOP[0], "height": DESKTOP[1]},
            color_scheme="light",
            java_script_enabled=script,
            reduced_motion="reduce",
        )
        context.set_default_timeout(WAIT_MS)
        return context
