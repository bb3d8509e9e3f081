"""The documents stay true: links resolve, records are in order, and walks exist."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.meta.sources import ROOT

DECISIONS = ROOT / "docs" / "adr"
DESIGNS = ROOT / "docs" / "design"
HOP = re.compile(r"^\| (\d+) \| `(iraas/[\w/]+\.py)` `([\w.]+)` \|", re.MULTILINE)
MAX_HOPS = 10


def test_every_link_between_documents_leads_somewhere() -> None:
    assert [
        f"{document.name} links to {target}"
        for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8"))
        if "://" not in target and not (document.parent / target).exists()
    ] == []


def test_decision_records_are_numbered_without_gaps_dated_and_listed() -> None:
    index = (DECISIONS / "README.md").read_text("utf-8")
    records = sorted(DECISIONS.glob("[0-9]*.md"))
    for number, record in enumerate(records, start=1):
        title, _, head = record.read_text("utf-8").partition("\n")
        assert record.name.startswith(f"{number:04d}-")
        assert title.startswith(f"# {number:04d}: ")
        stated = re.search(r"^Status: (.+) · Date: (\d{4}-\d\d-\d\d)$", head, re.MULTILINE)
        assert stated, f"{record.name} has no status and date"
        words = title.removeprefix(f"# {number:04d}: ")
        assert f"| [{number:04d}]({record.name}) | {words} | {stated[2]} | {stated[1]} |" in index


def test_design_notes_are_listed_by_their_titles() -> None:
    index = (DESIGNS / "README.md").read_text("utf-8")
    for note in DESIGNS.glob("[!R]*.md"):
        title = note.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        assert f"- [{title}]({note.name})" in index


def walks() -> Iterator[list[tuple[str, str]]]:
    """The hops of each walk in docs/architecture.md: a file and what stands in it."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    hops: list[tuple[str, str]] = []
    for number, path, name in HOP.findall(text):
        if number == "1" and hops:
            yield hops
            hops = []
        assert int(number) == len(hops) + 1
        hops.append((path, name))
    yield hops


@pytest.mark.parametrize("hops", list(walks()), ids=lambda hops: str(hops[0][0]))
def test_a_walk_through_the_code_is_short_and_each_hop_exists(hops: list[tuple[str, str]]) -> None:
    assert 5 < len(hops) <= MAX_HOPS
    for path, name in hops:
        scope: ast.AST = ast.parse((ROOT / path).read_text("utf-8"))
        for part in name.split("."):
            defined = {
                node.name: node
                for node in ast.iter_child_nodes(scope)
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            }
            assert part in defined, f"{path} has no {name}"
            scope = defined[part]
