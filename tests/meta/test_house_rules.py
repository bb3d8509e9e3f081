"""The rules of CONTRIBUTING that no linter checks."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields

import pytest

from iraas import errors
from iraas.cli.exit_codes import exit_code
from iraas.core.settings import Settings
from tests.meta.sources import Source, functions, sources

MAX_MODULE_LINES = 500
MIN_MODULE_LINES = 40
FUNCTION_LINES = 50
UNUSUAL_LENGTHS = {
    "iraas/__main__.py": "python -m iraas needs it",
    "iraas/cli/commands/config.py": "a command's module is loaded alone",
    "iraas/cli/commands/doctor.py": "a command's module is loaded alone",
    "iraas/cli/commands/jobs.py": "a command's module is loaded alone",
    "iraas/cli/job_argument.py": "it opens a backend, which no other option does",
    "iraas/cli/output/pluralize.py": "all output has numbers with nouns",
    "iraas/cli/output/skipped_links.py": "two commands skip links",
    "iraas/cli/plain_help.py": "the one departure from the help of typer",
    "iraas/cli/signals.py": "commands that run for long share it, and no other imports signal",
    "iraas/core/control_chars.py": "all that prints texts of others needs it",
    "iraas/core/ports/classifiers.py": "a port is a module",
    "iraas/models/onnx_telemetry.py": "nothing else may import onnxruntime",
    "iraas/sandbox/commands.py": "all that starts a child process needs it",
}
"""Modules over 500 or under 40 lines, each with its reason; packages' ``__init__`` need none."""
LEAVES = {
    "iraas/backends/aws/retries.py: RetryableError": "marks the errors that the retries repeat",
    "iraas/backends/aws/errors.py: MissingQueueError": "is two errors of the tree at once",
}
"""Subclasses inside one backend that no other module needs to distinguish from their parents."""
BAD_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
EVERYWHERE = ("iraas", "tests", "benchmarks")

everything = [one for folder in EVERYWHERE for one in sources(folder)]
ours = sources("iraas")


def test_a_module_is_one_concept_neither_long_nor_tiny_without_a_reason() -> None:
    lines = {
        source.path: len(source.text.splitlines())
        for source in ours
        if not source.path.endswith("/__init__.py")
    }
    unusual = {
        path: count
        for path, count in lines.items()
        if not MIN_MODULE_LINES <= count <= MAX_MODULE_LINES
    }
    assert {path: unusual[path] for path in unusual if path not in UNUSUAL_LENGTHS} == {}
    assert set(UNUSUAL_LENGTHS) <= set(unusual), "a reason for a module that needs none"


MAX_SWITCHED_OFF = 19
"""The number of suppressed lint rules in the product, each with its reason behind a hyphen."""


def test_suppressed_rules_are_few_and_have_reasons() -> None:
    found = [
        (f"{source.path}:{number}", line.partition("# noqa: ")[2])
        for source in ours
        for number, line in enumerate(source.text.splitlines(), start=1)
        if "# noqa" in line
    ]
    assert len(found) <= MAX_SWITCHED_OFF
    assert [location for location, text in found if not re.match(r"[A-Z]+\d+ - \w", text)] == []


def test_no_function_is_too_long() -> None:
    lines = {
        f"{source.path}: {function.name}": code_lines(function)
        for source in ours
        for function in functions(source)
    }
    assert {name: count for name, count in lines.items() if count > FUNCTION_LINES} == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function's body, its docstring left out; a table that it returns is none."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if (
        body
        and isinstance(body[-1], ast.Return)
        and isinstance(body[-1].value, ast.List | ast.Dict)
    ):
        body = body[:-1]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_unfinished_code_is_left() -> None:
    words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"]
    pattern = re.compile(rf"\b({'|'.join(words)})\b")
    assert [one.path for one in everything if pattern.search(one.text)] == []


def test_no_module_has_a_catch_all_name() -> None:
    parts = {one.path: set(one.path.removesuffix(".py").split("/")) for one in everything}
    assert [path for path, names in parts.items() if names & BAD_NAMES] == []


def test_nothing_reads_the_environment_when_it_is_imported() -> None:
    assert [location for source in ours for location in environment_reads_at_import(source)] == []


def environment_reads_at_import(source: Source) -> Iterator[str]:
    inside = {
        id(node)
        for function in ast.walk(source.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in {"environ", "getenv"}
            and id(node) not in inside
        ):
            yield f"{source.path}:{node.lineno}"


def test_no_test_sleeps_where_it_could_wait() -> None:
    """A pause in a loop that polls a condition is waiting."""
    found = [
        f"{source.path}: {function.name}"
        for source in sources("tests")
        for function in functions(source)
        if function.name.startswith("test_") and sleeps_outside_loops(function)
    ]
    assert found == []


def sleeps_outside_loops(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    loops = [node for node in ast.walk(function) if isinstance(node, ast.While)]
    looped = {id(node) for loop in loops for node in ast.walk(loop)}
    return any(
        isinstance(node, ast.Call)
        and ast.unparse(node.func) == "time.sleep"
        and id(node) not in looped
        for node in ast.walk(function)
    )


CLOCKS = {
    "getrusage", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
    "process_time_ns", "thread_time", "thread_time_ns",
}  # fmt: skip
MEASURE = {
    "tests/waiting.py": "its bound ends a hang",
    "tests/functional/worker/test_supervisor.py": "its clock runs faster than the real one",
}


def test_no_test_measures_time() -> None:
    """Durations depend on how busy the machine is. `benchmarks/` is for that.

    A clock that is handed on, as in ``clock=time.monotonic``, measures nothing.
    """
    found = [
        f"{source.path}:{node.lineno}"
        for source in sources("tests")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and name_of_call(node) in CLOCKS
    ]
    assert {location.partition(":")[0] for location in found} <= set(MEASURE), found


LEAST_PATIENCE_S = 60.0
A_MOMENT_S = 1.0
"""The longest time that a test may watch for an event that must not happen, or pause in a loop."""


def test_no_test_has_a_short_timeout() -> None:
    """Events are late on a busy machine: bounds only end a hang."""
    found = [
        f"{source.path}:{node.lineno} waits {bound:g} s"
        for source in sources("tests")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and name_of_call(node) in {"wait", "join", "communicate", "acquire", "result"}
        for bound in bounds_of(node)
        if A_MOMENT_S < bound < LEAST_PATIENCE_S
    ]
    assert found == []


def name_of_call(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def bounds_of(call: ast.Call) -> Iterator[float]:
    """The seconds that a call waits at most, where they stand in it as a number."""
    timeouts = [one.value for one in call.keywords if one.arg == "timeout"]
    for one in [*call.args, *timeouts]:
        if isinstance(one, ast.Constant) and type(one.value) in {int, float}:
            yield float(str(one.value))


def test_every_suppressed_rule_is_named() -> None:
    switch = re.compile(r"# noqa(?!: [A-Z]+[0-9]+)|# type: ignore(?!\[)|# ruff: noqa(?!:)")
    found = [
        f"{source.path}:{number}"
        for source in everything
        for number, line in enumerate(source.text.splitlines(), start=1)
        if switch.search(line) and source.path != "tests/meta/test_house_rules.py"
    ]
    assert found == []


def tree_of_errors() -> dict[str, tuple[str, str]]:
    """Each error's parent and exit code as the docstring of iraas/errors.py draws them."""
    assert errors.__doc__
    parents = {-1: "Exception"}
    found: dict[str, tuple[str, str]] = {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error)\s*(\S*)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        code = match[3] if match[3] in {"-", "1", "2", "4", "5"} else ""
        parent = parents[depth - 1]
        found[match[2]] = (parent, code or found.get(parent, ("", ""))[1])
        parents[depth] = match[2]
    return found


def test_every_error_is_in_the_documented_tree_under_its_parent() -> None:
    drawn = tree_of_errors()
    made = {
        name: one
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, errors.IraasError)
    }
    assert set(drawn) == set(made)
    for name, (parent, _) in drawn.items():
        assert made[name].__bases__[0].__name__ == parent
        assert made[name].__doc__


def test_every_error_has_the_documented_exit_code() -> None:
    for name, (_, code) in tree_of_errors().items():
        error = getattr(errors, name)("x")
        if code not in {"", "-"}:
            assert exit_code(error) == int(code), name


def test_no_other_module_adds_to_the_tree() -> None:
    known = set(tree_of_errors())
    found = [
        f"{source.path}: {node.name}"
        for source in ours
        if source.path != "iraas/errors.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        and known & {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    ]
    assert set(found) <= set(LEAVES)


@pytest.mark.parametrize("name", [one.name for one in fields(Settings)])
def test_every_setting_has_a_description(name: str) -> None:
    (setting,) = [one for one in fields(Settings) if one.name == name]
    assert setting.metadata["help"].endswith(".")
    assert callable(setting.metadata["parse"])
    if re.search(r"_(s|bytes)$", name) is None:
        assert not isinstance(setting.default, float), f"{name} has no unit in its name"
