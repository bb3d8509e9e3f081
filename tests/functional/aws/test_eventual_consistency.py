"""Provisioning and teardown where time plays a part: AWS shows late what was removed, a part fails
while the others go on, and a deployment is brought up to date.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iraas.backends.aws.backend import AwsBackend
from iraas.backends.aws.fleet.config import FleetConfig
from iraas.backends.aws.provisioning.launch_templates import LaunchTemplateResource
from iraas.backends.aws.provisioning.queues import QueueResource
from iraas.backends.aws.provisioning.roles import RoleResource
from iraas.errors import BackendError
from tests.functional.aws.accounts import account, nothing
from tests.functional.aws.faults import FaultProxy, Lingering, answer, fault_proxy

QUEUE_GONE = "AWS.SimpleQueueService.QueueDeletedRecently"


@pytest.fixture
def late(endpoint: str) -> Iterator[FaultProxy]:
    with fault_proxy(endpoint) as proxy:
        yield proxy


class Waits:
    """Sleeps that take no time, and are counted."""

    def __init__(self) -> None:
        self.slept_s = 0.0
        self.said: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


def test_a_teardown_ends_when_aws_lists_nothing_any_more(
    open_backend: Callable[..., AwsBackend], late: FaultProxy
) -> None:
    lingering, waits = Lingering(listings=9), Waits()
    late.plan_all(lingering.choose)
    backend = open_backend(endpoint_url=late.url, sleep=waits.sleep, report=waits.said.append)
    backend.provisioning.provision()
    backend.responses.create("submit-1")
    backend.provisioning.teardown()
    assert backend.provisioning.remaining() == []
    assert lingering.shown > 1
    assert waits.slept_s > 0
    (warning,) = [line for line in waits.said if "no longer lists" in line]
    assert "queue iraas-demo-requests" in warning


def test_a_teardown_stops_waiting_and_reports_what_is_still_listed(
    open_backend: Callable[..., AwsBackend], late: FaultProxy
) -> None:
    late.plan_all(Lingering(listings=10**9).choose)
    backend = open_backend(endpoint_url=late.url)
    now = [0.0]
    provisioning = backend.provisioning
    provisioning._clock = lambda: now[0]
    provisioning._sleep = lambda _: now.__setitem__(0, now[0] + 40.0)
    provisioning.provision()
    provisioning.teardown()
    assert 120 <= now[0] <= 160
    assert {one.kind for one in provisioning.remaining()} == {"queue"}


def test_a_queue_that_is_being_deleted_is_recreated_and_not_reused(
    open_backend: Callable[..., AwsBackend], late: FaultProxy
) -> None:
    lingering, waits = Lingering(listings=10**9), Waits()
    late.plan_all(lingering.choose)
    backend = open_backend(endpoint_url=late.url, sleep=waits.sleep)
    backend.provisioning.provision()
    assert all(one.exists for one in backend.provisioning.plan())
    for name in (backend.names.requests, backend.names.dead_letters):
        url = backend.session.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        backend.session.sqs.delete_queue(QueueUrl=url)
    assert all(one.exists for one in backend.provisioning.plan())  # so it seems still
    late.plan("CreateQueue", *[answer(400, QUEUE_GONE)] * 3)
    backend.provisioning.provision()
    assert waits.slept_s == 15.0
    assert len(account(backend.session)["queues"]) == 2


def _broken(self: Any) -> None:
    raise BackendError(f"{self.name} stays")


@pytest.mark.parametrize("kind", [LaunchTemplateResource, RoleResource, QueueResource])
def test_a_failed_removal_does_not_stop_the_others(
    backend: AwsBackend, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    backend.provisioning.provision()
    backend.fleet.launch(2)
    backend.responses.create("submit-1")
    with monkeypatch.context() as patch:
        patch.setattr(kind, "remove", _broken)
        with pytest.raises(BackendError, match="2 steps failed") as caught:
            backend.provisioning.teardown()
    assert "again" in caught.value.remedy
    found = account(backend.session)
    assert found["instances"] == []
    assert found["buckets"] == []
    assert len([names for names in found.values() if names]) <= 2
    backend.provisioning.teardown()
    assert nothing(account(backend.session))


def test_the_only_failure_of_a_teardown_is_raised_as_it_is(
    backend: AwsBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.provisioning.provision()
    remove = QueueResource.remove

    def sometimes(self: QueueResource) -> None:
        if self.name == backend.names.requests:
            _broken(self)
        remove(self)

    monkeypatch.setattr(QueueResource, "remove", sometimes)
    with pytest.raises(BackendError, match=r"^iraas-demo-requests stays$"):
        backend.provisioning.teardown()


def test_unreadable_options_keep_no_instance_alive(
    open_backend: Callable[..., AwsBackend], late: FaultProxy
) -> None:
    backend = open_backend()
    backend.provisioning.provision()
    backend.fleet.launch(2)
    unlucky = open_backend(endpoint_url=late.url)
    late.plan_all(lambda name: answer(403, "AccessDenied") if name == "GetObject" else None)
    with pytest.raises(Exception, match="not allowed"):
        unlucky.provisioning.teardown()
    assert account(backend.session)["instances"] == []


def test_another_vpc_gets_its_own_groups_and_unused_old_ones_are_removed(
    open_backend: Callable[..., AwsBackend],
) -> None:
    backend = open_backend()
    backend.provisioning.provision()
    ec2 = backend.session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    backend.fleet.launch(1)
    moved = open_backend(config=FleetConfig(subnet_ids=(made,)))
    moved.provisioning.provision()
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["iraas-demo-*"]}]
    )["SecurityGroups"]
    here = {one["GroupName"]: one["GroupId"] for one in groups if one["VpcId"] == vpc}
    assert set(here) == {"iraas-demo-worker", "iraas-demo-web"}
    data = ec2.describe_launch_template_versions(
        LaunchTemplateName="iraas-demo-worker", Versions=["$Default"]
    )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["SecurityGroupIds"] == [here["iraas-demo-worker"]]
    moved.provisioning.teardown()
    left = ec2.describe_security_groups()["SecurityGroups"]
    assert {one["GroupName"] for one in left} == {"default"}


def test_an_unmanaged_group_of_our_name_in_another_vpc_is_left_alone(
    backend: AwsBackend,
) -> None:
    ec2 = backend.session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    theirs = ec2.create_security_group(GroupName=backend.names.web, Description="x", VpcId=vpc)
    backend.provisioning.provision()
    backend.provisioning.teardown()
    groups = ec2.describe_security_groups()["SecurityGroups"]
    assert [one["GroupId"] for one in groups if one["GroupName"] != "default"] == [
        theirs["GroupId"]
    ]


def install_keys(backend: AwsBackend) -> set[str]:
    bucket = backend.names.outputs_bucket(backend.session.account(), "us-east-1")
    page = backend.session.s3.list_objects_v2(Bucket=bucket, Prefix="install/")
    return {one["Key"] for one in page.get("Contents", [])}


def test_provisioning_removes_superseded_files_once_no_instance_may_fetch_them(
    open_backend: Callable[..., AwsBackend], tmp_path: Path
) -> None:
    backend = open_backend()
    backend.provisioning.provision()
    first = install_keys(backend)
    (instance_id,) = backend.fleet.launch(1).launched
    (tmp_path / "bundle" / "bundle.json").write_text('{"newer": true}')
    open_backend().provisioning.provision()
    assert len(install_keys(backend) - first) == 1
    assert first < install_keys(backend)
    backend.fleet.terminate([instance_id])
    open_backend().provisioning.provision()
    assert len(install_keys(backend)) == len(first) == 3
    assert install_keys(backend) != first
