"""Every guarantee of docs/security.md names a test, and that test exists."""

import ast
import re

from tests.meta.sources import ROOT

DOCUMENT = ROOT / "docs" / "security.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def guarantees() -> list[str]:
    """The rows of the tables under "Boundaries and guarantees"."""
    section = DOCUMENT.read_text("utf-8").partition("## Boundaries and guarantees")[2]
    section = section.partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [line for line in lines if not re.match(r"\|(-|\s*guarantee\b)", line)]


def test_every_guarantee_names_a_test() -> None:
    assert len(guarantees()) > 20
    assert [line for line in guarantees() if not TEST.search(line)] == []


def test_every_named_test_exists() -> None:
    missing = []
    for path, name in TEST.findall(DOCUMENT.read_text("utf-8")):
        if not (ROOT / path).is_file():
            missing.append(path)
            continue
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        functions = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
        if name and name not in functions:
            missing.append(f"{path}::{name}")
    assert missing == []
