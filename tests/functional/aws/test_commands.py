"""`iraas provision` and `iraas teardown` for --backend aws, as a program calls them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from iraas.backends.aws.backend import AwsBackend
from tests.functional.aws.accounts import account, nothing
from tests.functional.aws.deployments import ENVIRONMENT
from tests.functional.aws.faults import answer, fault_proxy
from tests.waiting import PATIENCE_S


class Commands:
    """Runs commands on a deployment at an endpoint."""

    def __init__(self, endpoint: str, home: Path, bundle: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if "IRAAS" not in name}
        self._environment = {
            **kept,
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL": endpoint,
            "IRAAS_BACKEND": "aws",
            "IRAAS_DEPLOYMENT": "demo",
            "IRAAS_HOME": str(home),
            "IRAAS_MODEL": str(bundle),
        }

    def run(self, *arguments: str, expect: int = 0, endpoint: str = "") -> tuple[str, str]:
        """Return the output of a command on stdout and on stderr."""
        elsewhere = {"AWS_ENDPOINT_URL": endpoint} if endpoint else {}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "iraas", *arguments],
            env=self._environment | elsewhere,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
        return done.stdout, done.stderr


@pytest.fixture
def commands(endpoint: str, tmp_path: Path, bundle_path: Path) -> Commands:
    return Commands(endpoint, tmp_path, bundle_path)


def test_json_output_has_costs_and_cap_and_asks_nothing(
    commands: Commands, backend: AwsBackend
) -> None:
    _, refusal = commands.run("provision", "--json", expect=2)
    assert "--yes" in refusal
    assert nothing(account(backend.session))
    planned = json.loads(commands.run("provision", "--json", "--dry-run")[0])
    assert planned["costs"]["cap"] == 19
    assert planned["costs"]["full_hour"] > 0
    assert not any(one["exists"] for one in planned["resources"])
    assert nothing(account(backend.session))


def test_launches_and_access_follow_the_options(
    commands: Commands, open_backend: Callable[[], AwsBackend]
) -> None:
    given = (
        "--web-cidr",
        "203.0.113.0/24",
        "--web-instance-type",
        "t3.medium",
        "--max-life-min",
        "77",
    )
    made, _ = commands.run("provision", "--yes", "--json", "--keep-data-days", "3", *given)
    assert all(one["exists"] for one in json.loads(made)["resources"])
    options = open_backend().provisioning.fleet_config()
    assert (options.web_cidr, options.web_instance_type) == ("203.0.113.0/24", "t3.medium")
    assert (options.max_life_min, options.keep_data_days) == (77, 3)
    commands.run("provision", "--yes", "--web-cidr", "none")
    options = open_backend().provisioning.fleet_config()
    assert (options.web_cidr, options.max_life_min) == ("", 77)


def test_a_teardown_that_keeps_the_data_proves_that_all_else_is_gone(
    commands: Commands, backend: AwsBackend
) -> None:
    backend.provisioning.provision()
    proof, verdict = commands.run("teardown", "--yes", "--json", "--keep-data")
    assert json.loads(proof) == {"deployment": "demo", "remains": []}
    assert "Nothing remains of the deployment demo but its data." in verdict
    found = account(backend.session)
    assert len(found.pop("buckets")) == 2
    assert nothing(found)


def test_a_teardown_that_fails_shows_what_remains_and_why(
    commands: Commands, backend: AwsBackend, endpoint: str
) -> None:
    backend.provisioning.provision()
    with fault_proxy(endpoint) as proxy:
        proxy.plan_all(lambda name: answer(403, "AccessDenied") if name == "DeleteQueue" else None)
        said, why = commands.run("teardown", "--yes", "--json", expect=1, endpoint=proxy.url)
    assert {one["kind"] for one in json.loads(said)["remains"]} == {"queue"}
    assert "sqs:DeleteQueue" in why
    assert "Of the deployment demo there remain 2 resources." in why
    left = account(backend.session)
    assert len(left.pop("queues")) == 2
    assert nothing(left)
