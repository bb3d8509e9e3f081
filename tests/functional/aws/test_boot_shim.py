"""The shim that boots an emulator's instances, and the user data that it runs."""

import base64
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from iraas.backends.aws.backend import AwsBackend
from iraas.backends.aws.fleet.config import FleetConfig
from iraas.core.keys import worker_key
from iraas.core.records import decode_worker
from tests.functional.aws.boot_shim import BootShim, Machine, booting
from tests.functional.aws.deployments import ENVIRONMENT
from tests.waiting import wait_until


@pytest.fixture
def shim(endpoint: str, tmp_path: Path) -> Iterator[BootShim]:
    environment = dict(ENVIRONMENT) | {"HOME": str(tmp_path)}
    with booting(endpoint, tmp_path / "machines", environment) as shim:
        yield shim


@pytest.fixture
def backend(endpoint: str, tmp_path: Path) -> Iterator[AwsBackend]:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text("{}")
    backend = AwsBackend(
        "shim",
        "us-east-1",
        endpoint_url=endpoint,
        config=FleetConfig(max_life_min=99),
        bundle=lambda: bundle,
        sleep=lambda _: time.sleep(0.1),
    )
    backend.provisioning.provision()
    yield backend
    backend.close()


@pytest.fixture
def open_options() -> FleetConfig:
    return FleetConfig(web_cidr="203.0.113.0/24")


def until(condition: Callable[[], Any], what: str) -> Any:
    found: list[Any] = []

    def evaluate() -> Any:
        found[:] = [condition()]
        return found[0]

    wait_until(evaluate, what)
    return found[0]


def ended(shim: BootShim, instance_id: str) -> Machine:
    until(lambda: instance_id in shim.machines, "the instance was never booted")
    machine = shim.machines[instance_id]
    until(lambda: machine.ended, machine.log or "nothing was said")
    return machine


def run_script(backend: AwsBackend, script: str) -> str:
    answer = backend.session.client("ec2").run_instances(
        MinCount=1, MaxCount=1, ImageId="ami-12345678", UserData=script
    )
    return str(answer["Instances"][0]["InstanceId"])


def state_of(backend: AwsBackend, instance_id: str) -> str:
    answer = backend.session.client("ec2").describe_instances(InstanceIds=[instance_id])
    return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])


def test_a_machine_that_shuts_down_ends_its_instance(shim: BootShim, backend: AwsBackend) -> None:
    script = "#!/bin/bash\nshutdown -h +5\nsleep 1000 &\necho hello\nshutdown -h now\n"
    backend.session.client("ec2")
    answer = backend.session.client("ec2").run_instances(
        MinCount=1,
        MaxCount=1,
        ImageId="ami-12345678",
        UserData=script,
        InstanceInitiatedShutdownBehavior="terminate",
    )
    machine = ended(shim, answer["Instances"][0]["InstanceId"])
    assert "hello" in machine.log
    assert machine.shutdowns == ["shutdown -h +5", "shutdown -h now"]
    until(lambda: state_of(backend, machine.instance_id) == "terminated", "it still runs")


def test_a_terminated_instance_is_killed(shim: BootShim, backend: AwsBackend) -> None:
    instance_id = run_script(backend, "#!/bin/bash\necho here\nsleep 1000\n")
    until(lambda: instance_id in shim.machines and shim.machines[instance_id].log, "no boot")
    backend.session.client("ec2").terminate_instances(InstanceIds=[instance_id])
    machine = ended(shim, instance_id)
    until(lambda: _alive_in_group(machine.process.pid) == 0, "processes outlived their machine")


def test_the_real_user_data_installs_from_the_bucket_runs_the_worker_and_ends_the_machine(
    shim: BootShim, backend: AwsBackend
) -> None:
    (instance_id,) = backend.fleet.launch(1).launched
    machine = ended(shim, instance_id)
    assert machine.shutdowns[0].startswith("shutdown -h +99 ")
    assert machine.shutdowns[-1] == "shutdown -h now"
    assert "installed in" in machine.log
    assert f"worker {instance_id} left: " in machine.log
    assert (machine.folder / "opt" / "bundle" / "bundle.json").read_text() == "{}"
    until(lambda: backend.fleet.instances() == [], "the instance is still there")


def test_a_machine_that_cannot_install_says_so_and_ends(
    shim: BootShim, backend: AwsBackend
) -> None:
    for found in backend.session.s3.list_objects_v2(
        Bucket=backend.names.outputs_bucket(backend.session.account(), "us-east-1"),
        Prefix="install/",
    )["Contents"]:
        if found["Key"].endswith(".whl"):
            backend.session.s3.put_object(
                Bucket=backend.names.outputs_bucket(backend.session.account(), "us-east-1"),
                Key=found["Key"],
                Body=b"not the wheel that was promised",
            )
    (instance_id,) = backend.fleet.launch(1).launched
    machine = ended(shim, instance_id)
    record = decode_worker(backend.records.get(worker_key(instance_id)))
    assert (record.state, record.reason) == ("broken", "the wheel is missing")
    assert " left: " not in machine.log


def test_the_web_tier_starts_the_web_server_and_the_controller_and_stays(
    shim: BootShim, backend: AwsBackend
) -> None:
    (instance_id,) = backend.launch_web_tier().launched
    machine = until(lambda: shim.machines.get(instance_id), "no boot")
    until(lambda: "the web tier is up" in machine.log, "it is not up")
    units = sorted(path.name for path in (machine.folder / "units").iterdir())
    assert units == [
        "iraas-controller.service",
        "iraas-end.service",
        "iraas-end.timer",
        "iraas-web.service",
    ]
    assert [one for one in machine.shutdowns if "now" in one] == []
    assert not machine.ended
    assert backend.launch_web_tier().launched == (instance_id,)


def test_an_open_web_tier_generates_its_token_and_stores_it_in_the_bucket_only(
    shim: BootShim, backend: AwsBackend, open_options: FleetConfig
) -> None:
    opened = AwsBackend(
        "shim",
        "us-east-1",
        endpoint_url=shim.endpoint,
        config=open_options,
        bundle=lambda: shim.folder.parent / "bundle",
    )
    opened.provisioning.provision()
    (instance_id,) = opened.launch_web_tier().launched
    machine = until(lambda: shim.machines.get(instance_id), "no boot")
    until(lambda: "the web tier is up" in machine.log, "it is not up")
    bucket = opened.names.outputs_bucket(opened.session.account(), "us-east-1")
    kept = opened.session.s3.get_object(Bucket=bucket, Key="web/token")
    token = kept["Body"].read().decode().strip()
    opened.close()
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert "--host 0.0.0.0" in (machine.folder / "units" / "iraas-web.service").read_text()
    said = machine.log + "".join(path.read_text() for path in (machine.folder / "units").iterdir())
    assert token not in said
    assert token not in (machine.folder / "user-data.sh").read_text()


def test_baking_makes_an_image_from_which_workers_start_without_installing(
    shim: BootShim, backend: AwsBackend
) -> None:
    image_id = backend.provisioning.bake()
    assert backend.provisioning.bake() != image_id
    images = [one for one in backend.provisioning.remaining() if one.kind == "image"]
    assert len(images) == 1
    (instance_id,) = backend.fleet.launch(1).launched
    ec2 = backend.session.client("ec2")
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    assert reservation["Instances"][0]["ImageId"] == images[0].name
    builders = [one for one in shim.machines.values() if "cloud-init" in _calls(one)]
    assert len(builders) == 2
    assert all(state_of(backend, one.instance_id) == "terminated" for one in builders)
    backend.provisioning.teardown()
    assert backend.provisioning.remaining() == []


def _alive_in_group(group: int) -> int:
    """Processes of a group that are not zombies."""
    alive = 0
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != "zombie":
                alive += 1
    return alive


def _calls(machine: Machine) -> str:
    path = machine.folder / "calls"
    return path.read_text() if path.exists() else ""


def test_an_instance_knows_its_own_id(shim: BootShim, backend: AwsBackend) -> None:
    script = (
        '#!/bin/bash\ncurl -s "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data/instance-id"\n'
        'env >"$MACHINE/environment"\nshutdown -h now\n'
    )
    instance_id = run_script(backend, script)
    until(lambda: instance_id in shim.machines, "no boot")
    until(lambda: instance_id in shim.machines[instance_id].log, "a different id")


def test_user_data_is_passed_unchanged(backend: AwsBackend) -> None:
    answer = backend.session.client("ec2").describe_launch_template_versions(
        LaunchTemplateName=backend.names.worker, Versions=["$Default"]
    )
    data = answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    script = base64.b64decode(data["UserData"]).decode()
    assert script.startswith("#!/bin/bash\n")
    assert 'DEPLOYMENT="shim"' in script
    assert json.dumps(data).count("aws_secret") == 0
