"""Every command that README shows is run here, or by a test that is named here."""

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.functional.cli.deployment import COMMAND, Deployment, Done
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[3]

AWS_RUN = (
    "../../acceptance/test_aws_end_to_end.py"
    "::test_provision_submit_and_teardown_leave_all_outcomes_and_then_nothing"
)
HERE = "tests/functional/cli"
END_TO_END = "tests/acceptance/test_aws_end_to_end.py"
COVERED = {
    r"make (demo|test)|pip install .*|source .*": ".ci/run",
    "iraas up": f"{HERE}/test_operating.py::test_up_serves_and_works_until_it_is_stopped",
    "iraas controller": f"{HERE}/test_operating.py::test_stopping_a_controller_stops_no_worker",
    "iraas worker": (f"{HERE}/test_operating.py::test_a_manual_worker_drains_the_queue_and_exits"),
    "iraas retry JOB": f"{HERE}/test_results.py::test_failed_images_are_sent_again",
    "iraas status --watch": f"{HERE}/test_terminal.py::test_status_can_be_watched_until_ctrl_c",
    "iraas --install-completion": (
        f"{HERE}/test_help.py::test_completion_is_printed_for_each_shell"
    ),
    "iraas .*--backend aws.*": END_TO_END,
    "curl -F .*": "tests/functional/web/test_real_processes.py::test_readme_asks_with_curl",
}
"""Patterns of commands that never end or have external needs, with the tests that run them."""


def shown() -> list[str]:
    """The commands of README: its console blocks, line by line, comments left out."""
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```(?:console|bash|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = [re.sub(r"^\$ |\s+#.*", "", line).strip() for line in lines]
    found = dict.fromkeys(command for command in commands if command)
    assert found
    return list(found)


def is_covered(command: str) -> bool:
    return any(re.fullmatch(pattern, command) for pattern in COVERED)


def test_every_command_of_readme_is_run_or_known_to_be_run_elsewhere() -> None:
    ours = re.compile(r"(^|\| )iraas ")
    assert [one for one in shown() if not is_covered(one) and not ours.search(one)] == []


@pytest.mark.parametrize("command", COVERED)
def test_every_test_that_runs_a_command_elsewhere_exists(command: str) -> None:
    file, _, test = COVERED[command].partition("::")
    text = (ROOT / file).read_text("utf-8")
    if not test:
        assert text
        return
    tree = ast.parse(text)
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.fixture(scope="module")
def prepared(finished: Deployment, photo: Path) -> Deployment:
    """The deployment of one finished job, with the files that README names."""
    finished.add_images("scans/a.tif", "cat.jpg", source=photo)
    return finished


@pytest.mark.parametrize("command", [one for one in shown() if not is_covered(one)])
def test_a_command_of_readme_does_what_it_says(prepared: Deployment, command: str) -> None:
    """Run the command unchanged, except that sending is a dry run."""
    line = command.replace("JOB", prepared.job)
    line = re.sub(r"\biraas submit\b", "iraas submit --dry-run", line)
    line = re.sub(r"\biraas teardown\b", "iraas teardown --dry-run", line)
    words = shlex.split(line)
    done = run_in_shell(prepared, line) if "|" in words else prepared.run(*words[1:], expect=None)
    some_failed = "iraas results" in command
    assert done.returncode == (3 if some_failed else 0), done.stderr
    assert done.stdout + done.stderr


def run_in_shell(prepared: Deployment, line: str) -> Done:
    line = re.sub(r"\biraas\b", shlex.quote(COMMAND), line, count=1)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=prepared.folder,
        env=prepared.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
