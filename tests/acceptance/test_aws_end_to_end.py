"""End to end on aws: the real commands, an emulator, and instances that run their user data."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iraas.backends.aws.session import AwsSession
from tests.acceptance.sample_images import Photo, make_images
from tests.functional.aws.accounts import account, nothing
from tests.functional.aws.boot_shim import booting
from tests.functional.aws.deployments import ENVIRONMENT, fresh_session
from tests.functional.aws.moto_server import MotoServer
from tests.waiting import PATIENCE_S, wait_until

IMAGES = 24
WORKERS = 2


@dataclass
class Cloud:
    """An emulated account, and the command line pointed at it."""

    endpoint: str
    environment: dict[str, str]
    session: AwsSession
    counts: list[int] = field(default_factory=list)

    def iraas(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "iraas", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
        return done

    def instances(self) -> list[str]:
        """The states of the instances that are not yet terminated."""
        pages = self.session.client("ec2").get_paginator("describe_instances").paginate()
        states = [
            one["State"]["Name"]
            for page in pages
            for reservation in page["Reservations"]
            for one in reservation["Instances"]
        ]
        return [one for one in states if one != "terminated"]

    @contextmanager
    def counting_instances(self) -> Iterator[None]:
        """Record the number of instances repeatedly."""
        stop = threading.Event()

        def count() -> None:
            while not stop.wait(0.2):
                self.counts.append(len(self.instances()))
            self.counts.append(len(self.instances()))

        thread = threading.Thread(target=count)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def cloud(
    tmp_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch, moto: MotoServer
) -> Iterator[Cloud]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    moto.reset()
    kept = {name: value for name, value in os.environ.items() if "IRAAS" not in name}
    environment = kept | {
        "AWS_ENDPOINT_URL": moto.url,
        "IRAAS_BACKEND": "aws",
        "IRAAS_DEPLOYMENT": "e2e",
        "IRAAS_HOME": str(tmp_path / "home"),
        "IRAAS_MODEL": str(bundle_path),
        "IRAAS_MAX_WORKERS": str(WORKERS),
    }
    with fresh_session(moto.url) as session:
        yield Cloud(moto.url, environment, session)


def objects(session: AwsSession, bucket: str) -> list[str]:
    pages = session.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_provision_submit_and_teardown_leave_all_outcomes_and_then_nothing(
    cloud: Cloud, tmp_path: Path, photos: list[Photo]
) -> None:
    folder = tmp_path / "images"
    make_images(folder, photos, IMAGES)
    machine_environment = dict(ENVIRONMENT) | {
        "HOME": str(tmp_path),
        "IRAAS_PROCESSES": "1",
        "IRAAS_IDLE_TIMEOUT_S": "1",
        "IRAAS_POLL_S": "1",
    }
    cloud.iraas("provision", "--yes")
    with (
        booting(cloud.endpoint, tmp_path / "machines", machine_environment) as shim,
        cloud.counting_instances(),
    ):
        done = cloud.iraas("submit", str(folder), "--json")
        outcomes = [json.loads(line) for line in done.stdout.splitlines()]
        wait_until(lambda: not shim.running() and not cloud.instances(), "all instances gone")
    assert 1 <= shim.most_at_once <= WORKERS
    assert cloud.counts[0] == cloud.counts[-1] == 0
    assert max(cloud.counts) <= WORKERS

    assert len(outcomes) == len({one["request_id"] for one in outcomes}) == IMAGES
    assert {one["status"] for one in outcomes} == {"ok"}
    assert {one["worker"] for one in outcomes} <= set(shim.machines)
    buckets = [one["Name"] for one in cloud.session.s3.list_buckets()["Buckets"]]
    (inputs,) = (one for one in buckets if one.endswith("inputs"))
    (outputs,) = (one for one in buckets if one.endswith("outputs"))
    assert len(objects(cloud.session, inputs)) == IMAGES
    stored = [key for key in objects(cloud.session, outputs) if key.startswith("outcomes/")]
    assert len(stored) == IMAGES
    status = json.loads(cloud.iraas("status", "--json").stdout)
    assert status["queue"] == {"visible": 0, "in_flight": 0, "delayed": 0}
    assert status["dead_letters"] == 0
    assert status["done"] == IMAGES
    assert status["spent_usd"] > 0

    proof = json.loads(cloud.iraas("teardown", "--yes", "--json").stdout)
    assert proof["remains"] == []
    left = account(cloud.session)
    assert nothing(left), left
    again = cloud.iraas("teardown", "--yes")
    assert "nothing of the deployment" in again.stderr
