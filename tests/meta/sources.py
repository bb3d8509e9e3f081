"""The sources of the repository, parsed, for the tests of its own rules."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
THIRD_PARTY_IN_THE_STANDARD_LIBRARY = {"sqlite3"}
"""Modules of the standard library that only one package may import, like a dependency."""


@dataclass(frozen=True)
class Source:
    """A Python file.

    Attributes:
        path: Relative to the repository's root, with slashes.
        text: What is in it.
        tree: The same, parsed.
    """

    path: str
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The part of iraas it belongs to: ``core``, ``backends`` …, or a lone module's name."""
        return self.path.removesuffix(".py").split("/")[1]

    @property
    def module(self) -> str:
        """Its dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def imports(self) -> Iterator[str]:
        """Every module it imports, at its top or inside functions."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (one.name for one in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path} has a relative import"
                assert node.module
                yield from (f"{node.module}.{one.name}" for one in node.names)


@cache
def sources(folder: str) -> tuple[Source, ...]:
    """The Python files under a folder of the repository."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text("utf-8")
        found.append(Source(path.relative_to(ROOT).as_posix(), text, ast.parse(text)))
    assert found
    return tuple(found)


def is_other_peoples(module: str) -> bool:
    """Check whether a top-level module is a dependency, or treated like one."""
    ours = {"iraas", "tests"}
    return module in THIRD_PARTY_IN_THE_STANDARD_LIBRARY or (
        module not in ours and module not in sys.stdlib_module_names
    )


def functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions and methods of a file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
