"""The tests' own seam: rules for dying at a point."""

import signal
import subprocess
import sys

import pytest

from iraas.services.worker.faults import POINTS, no_fault, parse_faults

PROGRAM = """
from iraas.services.worker.faults import parse_faults
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


def test_a_rule_kills_at_its_point_for_its_picture_only() -> None:
    calls = [("replied", "a/killer.jpg"), ("decode", "fine.jpg"), ("decode", "a/killer.jpg")]
    done = run("decode:killer.jpg", *calls, ("decode", "never.jpg"))
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "replied a/killer.jpg\ndecode fine.jpg\n"


def test_a_rule_may_be_for_any_picture() -> None:
    assert run("deleted:*", ("deleted", "any.jpg")).returncode == -signal.SIGKILL


def test_a_rule_of_probability_zero_never_kills() -> None:
    hook = parse_faults("decode:*@0")
    for point in POINTS:
        hook(point, "a.jpg")


@pytest.mark.parametrize("rule", ["nowhere:*", "decode:", "decode", ":a", "decode:*@often"])
def test_a_rule_that_names_no_point_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_faults(rule)
