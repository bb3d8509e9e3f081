"""The command line of a child process."""

import ast
import sys

import pytest

from iraas.sandbox import commands
from tests.meta.sources import sources


def test_a_child_runs_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert commands.module_command("iraas", "worker") == [
        sys.executable, "-I", "-m", "iraas", "worker",
    ]  # fmt: skip


def test_a_child_uses_pythonpath_but_not_the_working_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert commands.module_command("iraas")[1:] == ["-P", "-m", "iraas"]


def test_only_one_module_starts_interpreters() -> None:
    """Commands that use ``sys.executable`` or ``-m`` directly bypass `module_command`."""
    found = [
        f"{source.path}: {ast.unparse(node)}"
        for source in sources("iraas")
        if source.path != "iraas/sandbox/commands.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.List | ast.Tuple)
        and {"sys.executable", "'-m'"} & {ast.unparse(one) for one in node.elts}
    ]
    assert found == []
