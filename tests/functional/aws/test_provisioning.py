"""Provisioning and teardown on an emulator: complete, idempotent, safe for unmanaged resources."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from iraas.backends.aws.backend import AwsBackend
from iraas.backends.aws.fleet.config import CONFIG_KEY, FleetConfig
from iraas.backends.aws.provisioning.queues import QueueResource
from iraas.core.ports import Provisioning
from iraas.errors import BackendError, ConfigurationError, WaitTimeoutError
from tests.functional.aws.accounts import account, nothing
from tests.functional.aws.deployments import ENVIRONMENT


def keys(backend: AwsBackend, prefix: str) -> list[str]:
    bucket = backend.names.outputs_bucket(backend.session.account(), "us-east-1")
    page = backend.session.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [one["Key"] for one in page.get("Contents", [])]


def test_the_aws_provisioning_implements_the_port(backend: AwsBackend) -> None:
    provisioning: Provisioning = backend.provisioning
    assert [one.exists for one in provisioning.plan()] == [False] * 11


def test_provisioning_makes_what_the_plan_says_and_teardown_leaves_an_empty_account(
    backend: AwsBackend,
) -> None:
    backend.provisioning.provision()
    assert all(one.exists for one in backend.provisioning.plan())
    assert len(account(backend.session)["queues"]) == 2
    assert len(account(backend.session)["buckets"]) == 2
    backend.provisioning.teardown()
    assert backend.provisioning.remaining() == []
    assert nothing(account(backend.session))
    backend.provisioning.teardown()


def test_teardown_removes_orphaned_resources(backend: AwsBackend) -> None:
    backend.provisioning.provision()
    backend.responses.create("submit-1")
    backend.fleet.launch(3)
    backend.launch_web_tier()
    backend.inputs.put("a/00000/00000000.jpg", b"x" * 1000)
    backend.outputs.put("a/00000/00000000.json", b"{}")
    s3 = backend.session.s3
    bucket = backend.names.inputs_bucket(backend.session.account(), "us-east-1")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    backend.inputs.put("a/00000/00000000.jpg", b"y")
    backend.inputs.delete(["a/00000/00000000.jpg"])
    s3.create_multipart_upload(Bucket=bucket, Key="images/unfinished")
    found = {one.kind for one in backend.provisioning.remaining()}
    assert {"instance", "response queue"} <= found
    backend.provisioning.teardown()
    assert nothing(account(backend.session))


def test_teardown_of_a_missing_deployment_does_nothing(backend: AwsBackend) -> None:
    backend.provisioning.teardown()
    assert nothing(account(backend.session))


def test_data_can_be_kept_and_found_again(backend: AwsBackend) -> None:
    backend.provisioning.provision()
    backend.outputs.put("a/00000/00000000.json", b"{}")
    backend.fleet.launch(1)
    backend.provisioning.teardown(keep_data=True)
    found = account(backend.session)
    assert len(found.pop("buckets")) == 2
    assert nothing(found)
    assert [one.kind for one in backend.provisioning.remaining()] == ["bucket", "bucket"]
    assert all(one.is_data for one in backend.provisioning.remaining())
    assert keys(backend, "install/") == []
    backend.provisioning.provision()
    assert backend.outputs.get("a/00000/00000000.json") == b"{}"
    assert len(backend.fleet.launch(1).launched) == 1
    backend.provisioning.teardown()
    assert nothing(account(backend.session))


def test_provisioning_twice_changes_nothing(backend: AwsBackend) -> None:
    backend.provisioning.provision()
    before = account(backend.session)
    plan = backend.provisioning.plan()
    backend.provisioning.provision()
    assert account(backend.session) == before
    assert backend.provisioning.plan() == plan


def test_provisioning_again_updates_templates_and_options(
    open_backend: Callable[..., AwsBackend],
) -> None:
    open_backend().provisioning.provision()
    options = FleetConfig(instance_types=("c7i.large",), pricings=("on-demand",), max_life_min=77)
    changed = open_backend(config=options)
    changed.provisioning.provision()
    again = open_backend()
    assert replace(again.provisioning.fleet_config(), subnet_ids=()) == options
    (worker,) = [
        one
        for one in again.provisioning.plan()
        if one.name == "iraas-demo-worker" and (one.kind == "launch template")
    ]
    assert worker.detail == "version 2"
    again.fleet.launch(1)
    (instance,) = again.fleet.instances()
    assert (instance.instance_type, instance.pricing) == ("c7i.large", "on-demand")


def test_a_fleet_never_exceeds_its_provisioned_cap(
    open_backend: Callable[..., AwsBackend],
) -> None:
    open_backend(config=FleetConfig(capacity=2)).provisioning.provision()
    assert len(open_backend(capacity=19).fleet.launch(5).launched) == 2


def test_two_deployments_live_side_by_side(open_backend: Callable[..., AwsBackend]) -> None:
    one, other = open_backend("one"), open_backend("one-two")
    one.provisioning.provision()
    other.provisioning.provision()
    one.fleet.launch(1)
    other.fleet.launch(2)
    other.responses.create("submit-1")
    one.provisioning.teardown()
    assert one.provisioning.remaining() == []
    assert len([left for left in other.provisioning.remaining() if left.kind == "instance"]) == 2
    assert (
        len([left for left in other.provisioning.remaining() if left.kind == "response queue"]) == 1
    )
    other.provisioning.teardown()
    assert nothing(account(one.session))


STEPS = 11


@pytest.mark.parametrize("step", range(STEPS))
def test_a_failure_at_any_step_leaves_nothing_behind(
    backend: AwsBackend, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    provisioning = backend.provisioning
    resources = provisioning._resources

    class FailingError(BackendError):
        pass

    def broken(context: Any) -> list[Any]:
        made = resources(context)
        kind = type(made[step])
        name = made[step].name

        def make(self: Any) -> None:
            original(self)
            if self.name == name:
                raise FailingError("right after it was made")

        original = kind.make
        monkeypatch.setattr(kind, "make", make)
        return made

    monkeypatch.setattr(provisioning, "_resources", broken)
    with pytest.raises(FailingError):
        provisioning.provision()
    monkeypatch.undo()
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert nothing(account(backend.session))


def test_a_failure_keeps_earlier_resources(
    backend: AwsBackend, open_backend: Callable[..., AwsBackend]
) -> None:
    backend.provisioning.provision()
    backend.outputs.put("a/00000/00000000.json", b"{}")

    def no_bundle() -> Path:
        raise ConfigurationError("no model")

    with pytest.raises(ConfigurationError, match="no model"):
        open_backend(bundle=no_bundle).provisioning.provision()
    assert backend.outputs.get("a/00000/00000000.json") == b"{}"
    assert all(one.exists for one in backend.provisioning.plan())


def test_a_failure_removes_nothing_that_another_process_created(
    backend: AwsBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_before_us(self: QueueResource) -> None:
        backend.session.sqs.create_queue(QueueName=self.name)
        raise BackendError("no luck")

    monkeypatch.setattr(QueueResource, "make", create_before_us)
    with pytest.raises(BackendError, match="no luck"):
        backend.provisioning.provision()
    found = account(backend.session)
    assert [url.rpartition("/")[2] for url in found.pop("queues")] == ["iraas-demo-dead-letters"]
    assert nothing(found)


def _unmanaged_bucket(backend: AwsBackend) -> None:
    name = backend.names.outputs_bucket(backend.session.account(), "us-east-1")
    backend.session.s3.create_bucket(Bucket=name)
    backend.session.s3.put_object(Bucket=name, Key="precious", Body=b"!")


def _empty_unmanaged_bucket(backend: AwsBackend) -> None:
    name = backend.names.inputs_bucket(backend.session.account(), "us-east-1")
    backend.session.s3.create_bucket(Bucket=name)


def _unmanaged_profile(backend: AwsBackend) -> None:
    backend.session.client("iam").create_instance_profile(
        InstanceProfileName=backend.names.web_role("us-east-1")
    )


def _unmanaged_queue(backend: AwsBackend) -> None:
    backend.session.sqs.create_queue(QueueName=backend.names.requests)


def _unmanaged_role(backend: AwsBackend) -> None:
    backend.session.client("iam").create_role(
        RoleName=backend.names.worker_role("us-east-1"), AssumeRolePolicyDocument="{}"
    )


def _unmanaged_template(backend: AwsBackend) -> None:
    backend.session.client("ec2").create_launch_template(
        LaunchTemplateName=backend.names.web, LaunchTemplateData={"InstanceType": "t3.small"}
    )


def _unmanaged_group(backend: AwsBackend) -> None:
    backend.session.client("ec2").create_security_group(
        GroupName=backend.names.worker, Description="mine"
    )


@pytest.mark.parametrize(
    "make",
    [
        _unmanaged_bucket,
        _empty_unmanaged_bucket,
        _unmanaged_queue,
        _unmanaged_role,
        _unmanaged_profile,
        _unmanaged_template,
        _unmanaged_group,
    ],
)
def test_unmanaged_resources_are_neither_changed_nor_removed(
    backend: AwsBackend, make: Callable[[AwsBackend], None]
) -> None:
    make(backend)
    before = account(backend.session)
    with pytest.raises(ConfigurationError, match="this deployment did not create it") as caught:
        backend.provisioning.provision()
    assert caught.value.remedy
    assert account(backend.session) == before
    assert any(one.detail.startswith("not managed") for one in backend.provisioning.plan())
    backend.provisioning.teardown()
    assert account(backend.session) == before


def test_buckets_are_private_encrypted_and_expire(backend: AwsBackend) -> None:
    backend.provisioning.provision()
    s3 = backend.session.s3
    bucket = backend.names.outputs_bucket(backend.session.account(), "us-east-1")
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert len(block) == 4
    assert all(block.values())
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    expiring = {one["Filter"]["Prefix"] for one in lifecycle if "Expiration" in one}
    assert expiring == {"outcomes/", "records/", "web/"}
    assert [
        one["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        for one in lifecycle
        if "AbortIncompleteMultipartUpload" in one
    ] == [1]


def test_queues_redrive_keep_and_encrypt(backend: AwsBackend) -> None:
    backend.provisioning.provision()
    sqs = backend.session.sqs

    def attributes(name: str) -> dict[str, str]:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return {str(key): value for key, value in answer["Attributes"].items()}

    requests, dead = attributes("iraas-demo-requests"), attributes("iraas-demo-dead-letters")
    assert json.loads(requests["RedrivePolicy"]) == {
        "deadLetterTargetArn": dead["QueueArn"],
        "maxReceiveCount": 10,
    }
    assert requests["MessageRetentionPeriod"] == str(4 * 86_400)
    assert dead["MessageRetentionPeriod"] == str(14 * 86_400)
    assert requests["MaximumMessageSize"] == "1048576"
    assert requests["SqsManagedSseEnabled"] == "true"


def test_instances_accept_no_connections_by_default(
    open_backend: Callable[..., AwsBackend],
) -> None:
    backend = open_backend()
    backend.provisioning.provision()

    def rules(name: str) -> list[tuple[int, str]]:
        filters = [{"Name": "group-name", "Values": [name]}]
        ec2 = backend.session.client("ec2")
        (group,) = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return [
            (one["FromPort"], where["CidrIp"])
            for one in group["IpPermissions"]
            for where in one["IpRanges"]
        ]

    assert (rules("iraas-demo-worker"), rules("iraas-demo-web")) == ([], [])
    open_backend(config=FleetConfig(web_cidr="203.0.113.7/32")).provisioning.provision()
    assert (rules("iraas-demo-worker"), rules("iraas-demo-web")) == (
        [],
        [(8000, "203.0.113.7/32")],
    )
    open_backend(config=FleetConfig()).provisioning.provision()
    assert rules("iraas-demo-web") == []


def test_templates_set_every_instance_hardening_option(backend: AwsBackend) -> None:
    backend.provisioning.provision()
    answer = backend.session.client("ec2").describe_launch_template_versions(
        LaunchTemplateName="iraas-demo-worker", Versions=["$Default"]
    )
    data = answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["ImageId"] == (
        "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    )
    assert data["IamInstanceProfile"] == {"Name": "iraas-demo-us-east-1-worker"}
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert int(data["MetadataOptions"]["HttpPutResponseHopLimit"]) == 1
    disk = data["BlockDeviceMappings"][0]["Ebs"]
    assert str(disk["Encrypted"]).lower() == "true"
    assert str(disk["DeleteOnTermination"]).lower() == "true"


def test_a_recently_deleted_queue_name_is_waited_for(
    open_backend: Callable[..., AwsBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    slept: list[float] = []
    backend = open_backend(report=said.append, sleep=slept.append)
    answer: Any = {
        "Error": {"Code": "AWS.SimpleQueueService.QueueDeletedRecently"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    resting = [ClientError(answer, "CreateQueue")] * 3
    create = backend.session.sqs.create_queue

    def create_queue(**request: Any) -> Any:
        if resting:
            raise resting.pop()
        return create(**request)

    monkeypatch.setattr(backend.session.sqs, "create_queue", create_queue)
    backend.provisioning.provision()
    assert slept == [5.0, 5.0, 5.0]
    assert len([line for line in said if "does not allow its name" in line]) == 1
    assert len(account(backend.session)["queues"]) == 2


def test_a_queue_name_that_stays_blocked_is_an_error_in_bounded_time(
    open_backend: Callable[..., AwsBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_backend()
    now = [0.0]
    context = replace(
        backend.provisioning._context(),
        clock=lambda: now[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
    )
    answer: Any = {
        "Error": {"Code": "AWS.SimpleQueueService.QueueDeletedRecently"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }

    def create_queue(**request: Any) -> Any:
        raise ClientError(answer, "CreateQueue")

    monkeypatch.setattr(backend.session.sqs, "create_queue", create_queue)
    with pytest.raises(WaitTimeoutError, match="iraas-demo-requests"):
        QueueResource(context, "iraas-demo-requests", "request-queue").make()
    assert 60 < now[0] < 300


def test_corrupt_options_do_not_prevent_a_teardown(backend: AwsBackend) -> None:
    backend.provisioning.provision()
    bucket = backend.names.outputs_bucket(backend.session.account(), "us-east-1")
    backend.session.s3.put_object(Bucket=bucket, Key=f"install/{CONFIG_KEY}", Body=b"{")
    backend.provisioning.teardown()
    assert nothing(account(backend.session))


def test_preflight_reports_checks_that_could_not_run(backend: AwsBackend) -> None:
    findings = {one.subject: one for one in backend.provisioning.check()}
    assert findings["subnets"].ok
    assert findings["Spot role"].ok
    # moto has neither the simulation of policies nor these quotas.
    assert findings["on-demand quota"].ok is None
    assert nothing(account(backend.session))


def test_the_costs_state_the_cap_and_the_age_of_the_prices(backend: AwsBackend) -> None:
    costs = backend.provisioning.costs()
    assert costs.cap == 19
    assert costs.rest_hour == 0
    assert 0 < costs.cheapest_full_hour < costs.full_hour < 19 * 0.2
    assert any(costs.as_of in line for line in costs.lines())
