"""Fault injection: rules that kill the process at a point."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from iraas.core.fault_injection import no_fault, parse_faults

PROGRAM = """
from iraas.core.fault_injection import parse_faults
hook = parse_faults({rules!r})
for point, name in {calls!r}:
    hook(point, name)
    print(point, name, flush=True)
"""


def run(rules: str, *calls: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(rules=rules, calls=calls)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_without_rules_nothing_ever_happens() -> None:
    assert parse_faults("") is no_fault
    no_fault("decode", "anything")


def test_a_rule_kills_at_its_point_for_its_image_only() -> None:
    calls = [("replied", "a/killer.jpg"), ("decode", "fine.jpg"), ("decode", "a/killer.jpg")]
    done = run("decode:killer.jpg", *calls, ("decode", "never.jpg"))
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "replied a/killer.jpg\ndecode fine.jpg\n"


def test_a_rule_with_a_folder_kills_once_for_each_image(tmp_path: Path) -> None:
    calls = [("deleted", "1.jpg"), ("deleted", "2.jpg")]
    ends = [run(f"deleted:.jpg@{tmp_path}", *calls).stdout for _ in range(3)]
    assert ends == ["", "deleted 1.jpg\n", "deleted 1.jpg\ndeleted 2.jpg\n"]


@pytest.mark.parametrize("rule", ["nowhere:a", "decode:", "decode", ":a"])
def test_a_rule_that_names_no_point_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_faults(rule)
