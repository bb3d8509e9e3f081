"""The requests of provisioning, call by call, where an emulator cannot verify them."""

import base64
import json
from dataclasses import replace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from iraas.backends.aws.fleet.config import FleetConfig
from iraas.backends.aws.iam.policies import DeploymentArns
from iraas.backends.aws.iam.role_permissions import worker_statements
from iraas.backends.aws.names import Names
from iraas.backends.aws.provisioning.ami_baking import bake_image
from iraas.backends.aws.provisioning.bucket import BucketResource
from iraas.backends.aws.provisioning.emptying import MAX_IDLE_ATTEMPTS
from iraas.backends.aws.provisioning.install_files import Artifact, Artifacts
from iraas.backends.aws.provisioning.launch_templates import (
    LaunchTemplateResource,
    LaunchTemplateSpec,
)
from iraas.backends.aws.provisioning.network import Network, find_subnets
from iraas.backends.aws.provisioning.queues import queue_resources
from iraas.backends.aws.provisioning.roles import RoleResource
from iraas.backends.aws.provisioning.security_groups import SecurityGroupResource
from iraas.backends.aws.provisioning.spot_role import ensure_spot_role
from iraas.backends.aws.queues.response_queues import SqsResponseQueues
from iraas.backends.aws.session import AwsSession
from iraas.errors import (
    BackendError,
    BackendUnavailableError,
    ConfigurationError,
    NotProvisionedError,
    PermissionDeniedError,
    WaitTimeoutError,
)
from tests.fakes.scripted_sdk import ACCOUNT, Session, context_of, error, subnet

TAGS = [{"Key": "iraas:deployment", "Value": "demo"}, {"Key": "iraas:role", "Value": "worker"}]
NO_BUCKET = error("404", "HeadBucket", 404)


def test_a_buckets_policy_denies_everything_without_tls() -> None:
    session = Session(head_bucket=[NO_BUCKET])
    BucketResource(context_of(session), "bucket", "input-store", ("images/",)).make()
    (request,) = session.asked("put_bucket_policy")
    (statement,) = json.loads(request["Policy"])["Statement"]
    assert statement == {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


@pytest.mark.parametrize(
    ("region", "wanted"),
    [
        ("eu-west-1", {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}),
        ("us-east-1", {}),
    ],
)
def test_a_bucket_is_made_in_its_region(region: str, wanted: dict[str, Any]) -> None:
    session = Session(region, head_bucket=[NO_BUCKET])
    BucketResource(context_of(session), "bucket", "input-store", ()).make()
    assert session.asked("create_bucket") == [{"Bucket": "bucket"} | wanted]


def test_a_bucket_is_made_private_first() -> None:
    session = Session(head_bucket=[NO_BUCKET])
    BucketResource(context_of(session), "bucket", "input-store", ()).make()
    order = [name for name, _ in session.calls]
    assert order.index("put_public_access_block") < order.index("put_bucket_policy")
    (block,) = session.asked("put_public_access_block")
    assert block["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }


def test_a_bucket_of_another_account_is_unmanaged() -> None:
    session = Session(head_bucket=[error("403", status=403)])
    assert (
        BucketResource(context_of(session), "bucket", "input-store", ()).find().state == "unmanaged"
    )
    assert session.asked("head_bucket")[0]["ExpectedBucketOwner"] == ACCOUNT


def test_queues_are_tls_only_encrypted_and_redriven() -> None:
    missing = error("AWS.SimpleQueueService.NonExistentQueue")
    session = Session(get_queue_url=[missing])
    for resource in queue_resources(context_of(session)):
        resource.make()
    dead, requests = session.asked("create_queue")
    assert (dead["QueueName"], requests["QueueName"]) == (
        "iraas-demo-dead-letters",
        "iraas-demo-requests",
    )
    for one in (dead, requests):
        (statement,) = json.loads(one["Attributes"]["Policy"])["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Resource"] == [f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{one['QueueName']}"]
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert one["Attributes"]["SqsManagedSseEnabled"] == "true"
        assert one["tags"]["iraas:deployment"] == "demo"
    assert json.loads(requests["Attributes"]["RedrivePolicy"]) == {
        "deadLetterTargetArn": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:iraas-demo-dead-letters",
        "maxReceiveCount": 10,
    }
    assert "RedrivePolicy" not in dead["Attributes"]


def test_a_queue_that_is_there_is_brought_up_to_date() -> None:
    session = Session(
        create_queue=[error("QueueAlreadyExists")],
        get_queue_url=[{"QueueUrl": "https://sqs/q"}],
    )
    for resource in queue_resources(context_of(session)):
        resource.make()
    assert len(session.asked("set_queue_attributes")) == 2


def test_a_queue_deleted_during_provisioning_is_waited_for_and_recreated() -> None:
    gone = error("AWS.SimpleQueueService.NonExistentQueue")
    session = Session(
        create_queue=[error("QueueAlreadyExists"), error("QueueDeletedRecently"), {}],
        get_queue_url=[{"QueueUrl": "https://sqs/q"}],
        set_queue_attributes=[gone],
        list_queue_tags=[gone],
    )
    resource = queue_resources(context_of(session))[0]
    assert resource.find().state == "absent"
    resource.make()
    assert len(session.asked("create_queue")) == 3


def throttled(*keys: str, code: str = "SlowDown") -> dict[str, Any]:
    return {"Errors": [{"Key": key, "Code": code, "Message": "planned"} for key in keys]}


def a_bucket_with_two_objects(**answers: Any) -> Session:
    page = {"Versions": [{"Key": key, "VersionId": "null"} for key in ("a", "b")]}
    return Session(
        get_bucket_tagging=[{"TagSet": TAGS}],
        list_object_versions=answers.pop("pages", [page]),
        **answers,
    )


def test_a_bucket_that_may_not_be_emptied_is_an_error_at_once() -> None:
    session = a_bucket_with_two_objects(delete_objects=[throttled("b", code="AccessDenied")])
    with pytest.raises(PermissionDeniedError, match="s3://bucket/b"):
        BucketResource(context_of(session), "bucket", "input-store", ()).remove()
    assert len(session.asked("delete_objects")) == 1
    assert session.asked("delete_bucket") == []


def test_a_bucket_that_does_not_empty_is_an_error_in_bounded_time() -> None:
    session = a_bucket_with_two_objects(delete_objects=[throttled("a", "b")])
    with pytest.raises(BackendUnavailableError, match="cannot be removed"):
        BucketResource(context_of(session), "bucket", "input-store", ()).remove()
    assert len(session.asked("delete_objects")) == MAX_IDLE_ATTEMPTS


def test_objects_that_cannot_be_deleted_yet_are_retried() -> None:
    page = {"Versions": [{"Key": "a", "VersionId": "null"}]}
    session = a_bucket_with_two_objects(pages=[page, page, {}], delete_objects=[throttled("a"), {}])
    BucketResource(context_of(session), "bucket", "input-store", ()).remove()
    assert len(session.asked("delete_bucket")) == 1


def test_an_upload_that_is_listed_for_ever_is_an_error_in_bounded_time() -> None:
    session = a_bucket_with_two_objects(
        list_multipart_uploads=[{"Uploads": [{"Key": "a", "UploadId": "u"}]}]
    )
    with pytest.raises(BackendUnavailableError, match="unfinished uploads"):
        BucketResource(context_of(session), "bucket", "input-store", ()).remove()


def test_a_bucket_that_is_written_to_while_it_is_removed_is_emptied_again() -> None:
    session = a_bucket_with_two_objects(
        pages=[{}], delete_bucket=[error("BucketNotEmpty", status=409), {}]
    )
    BucketResource(context_of(session), "bucket", "input-store", ()).remove()
    assert len(session.asked("list_object_versions")) == 2


def test_a_bucket_that_is_not_known_everywhere_yet_is_still_configured() -> None:
    aborted, unknown = error("OperationAborted", status=409), error("NoSuchBucket", status=404)
    session = Session(
        head_bucket=[NO_BUCKET],
        create_bucket=[aborted, {}],
        put_bucket_tagging=[unknown, aborted, {}],
        put_public_access_block=[aborted, {}],
        put_bucket_lifecycle_configuration=[unknown, {}],
    )
    BucketResource(context_of(session), "bucket", "input-store", ()).make()
    assert len(session.asked("put_bucket_tagging")) == 3
    assert len(session.asked("put_bucket_lifecycle_configuration")) == 2


def test_a_bucket_that_stays_unknown_is_an_error_after_a_minute() -> None:
    session = Session(head_bucket=[NO_BUCKET], put_public_access_block=[error("OperationAborted")])
    with pytest.raises(BackendUnavailableError, match="OperationAborted"):
        BucketResource(context_of(session), "bucket", "input-store", ()).make()
    assert 25 < len(session.asked("put_public_access_block")) < 35


def test_a_bucket_that_cannot_be_tagged_is_not_left_behind_untagged() -> None:
    denied = error("AccessDenied", status=403)
    session = Session(head_bucket=[NO_BUCKET], put_bucket_tagging=[denied])
    with pytest.raises(PermissionDeniedError):
        BucketResource(context_of(session), "bucket", "input-store", ()).make()
    assert len(session.asked("delete_bucket")) == 1


def test_every_call_about_a_bucket_names_the_account_that_it_is_of() -> None:
    made = Session(head_bucket=[NO_BUCKET])
    BucketResource(context_of(made), "bucket", "input-store", ()).make()
    removed = a_bucket_with_two_objects(
        pages=[{"Versions": [{"Key": "a", "VersionId": "null"}]}, {}],
        list_multipart_uploads=[{"Uploads": [{"Key": "a", "UploadId": "u"}]}, {}],
    )
    BucketResource(context_of(removed), "bucket", "input-store", ()).remove()
    for name, request in made.calls + removed.calls:
        if name != "create_bucket":
            assert request["ExpectedBucketOwner"] == ACCOUNT, name


def test_a_role_trusts_ec2_and_nobody_else() -> None:
    missing = error("NoSuchEntity")
    session = Session(
        get_role=[missing],
        get_instance_profile=[missing],
        create_instance_profile=[{"InstanceProfile": {}}],
    )
    statements = worker_statements(DeploymentArns(Names("demo"), ACCOUNT, "eu-west-1"))
    RoleResource(context_of(session), "iraas-demo-eu-west-1-worker", "worker", statements).make()
    (role,) = session.asked("create_role")
    assert json.loads(role["AssumeRolePolicyDocument"])["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ]
    assert role["Tags"] == TAGS
    assert session.asked("create_instance_profile")[0]["Tags"] == TAGS
    assert session.asked("add_role_to_instance_profile") == [
        {
            "InstanceProfileName": "iraas-demo-eu-west-1-worker",
            "RoleName": "iraas-demo-eu-west-1-worker",
        }
    ]


def test_a_role_that_iam_does_not_know_everywhere_yet_is_waited_for() -> None:
    missing = error("NoSuchEntity", status=404)
    session = Session(
        get_role=[missing],
        get_instance_profile=[missing],
        create_instance_profile=[{"InstanceProfile": {}}],
        put_role_policy=[missing, {}],
        add_role_to_instance_profile=[missing, missing, {}],
    )
    RoleResource(context_of(session), "r", "worker", []).make()
    assert len(session.asked("put_role_policy")) == 2
    assert len(session.asked("add_role_to_instance_profile")) == 3


OURS: dict[str, Any] = {"Tags": TAGS}
THEIRS: dict[str, Any] = {"Tags": []}


@pytest.mark.parametrize(
    ("role", "profile", "state"),
    [
        (OURS, OURS, "managed"),
        (OURS, THEIRS, "managed"),
        (THEIRS, OURS, "managed"),
        (THEIRS, THEIRS, "unmanaged"),
        (THEIRS, None, "unmanaged"),
        (None, THEIRS, "unmanaged"),
        (None, OURS, "managed"),
        (None, None, "absent"),
    ],
)
def test_only_our_own_role_and_profile_are_changed_and_removed(
    role: dict[str, Any] | None, profile: dict[str, Any] | None, state: str
) -> None:
    missing = error("NoSuchEntity", status=404)
    session = Session(
        get_role=[{"Role": role} if role else missing],
        get_instance_profile=[{"InstanceProfile": profile} if profile else missing],
        list_role_policies=[{"PolicyNames": []}],
        list_attached_role_policies=[{"AttachedPolicies": []}],
        create_instance_profile=[{"InstanceProfile": {}}],
    )
    resource = RoleResource(context_of(session), "r", "worker", [])
    assert resource.find().state == state
    resource.remove()
    assert len(session.asked("delete_role")) == (role is OURS)
    assert len(session.asked("delete_instance_profile")) == (profile is OURS)
    if THEIRS in (role, profile):
        with pytest.raises(ConfigurationError, match="did not create it"):
            resource.make()
        assert session.asked("put_role_policy") == []
    else:
        resource.make()


def spec(script: str = "#!/bin/bash\n") -> LaunchTemplateSpec:
    return LaunchTemplateSpec("ami-1", "profile", "sg-1", "c6a.large", script)


def test_a_template_holds_the_common_launch_parameters() -> None:
    session = Session(describe_launch_templates=[{"LaunchTemplates": []}])
    LaunchTemplateResource(context_of(session), "iraas-demo-worker", "worker", spec).make()
    (request,) = session.asked("create_launch_template")
    assert request["TagSpecifications"] == [{"ResourceType": "launch-template", "Tags": TAGS}]
    data = request["LaunchTemplateData"]
    assert base64.b64decode(data.pop("UserData")) == b"#!/bin/bash\n"
    assert data == {
        "ImageId": "ami-1",
        "InstanceType": "c6a.large",
        "IamInstanceProfile": {"Name": "profile"},
        "SecurityGroupIds": ["sg-1"],
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        },
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {
                    "VolumeSize": 8,
                    "VolumeType": "gp3",
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
    }


def test_an_unchanged_template_gets_no_new_version() -> None:
    first = Session(describe_launch_templates=[{"LaunchTemplates": []}])
    LaunchTemplateResource(context_of(first), "t", "worker", spec).make()
    mark = first.asked("create_launch_template")[0]["VersionDescription"]
    there: dict[str, Any] = {
        "describe_launch_templates": [{"LaunchTemplates": [{}]}],
        "describe_launch_template_versions": [
            {"LaunchTemplateVersions": [{"VersionDescription": mark}]}
        ],
        "create_launch_template_version": [{"LaunchTemplateVersion": {"VersionNumber": 2}}],
    }
    same = Session(**there)
    LaunchTemplateResource(context_of(same), "t", "worker", spec).make()
    assert same.asked("create_launch_template_version") == []
    other = Session(**there)
    LaunchTemplateResource(context_of(other), "t", "worker", lambda: spec("other")).make()
    assert len(other.asked("create_launch_template_version")) == 1
    assert other.asked("modify_launch_template") == [
        {"LaunchTemplateName": "t", "DefaultVersion": "2"}
    ]


def group_resource(session: Session) -> SecurityGroupResource:
    context = context_of(session)
    return SecurityGroupResource(context, Network(context), "g", "worker")


def test_a_security_group_in_use_is_waited_for_and_not_for_ever() -> None:
    groups = {"SecurityGroups": [{"GroupId": "sg-1", "Tags": TAGS}]}
    in_use = error("DependencyViolation")
    subnets = {"Subnets": [subnet("s-a", "a")]}
    session = Session(
        describe_subnets=[subnets],
        describe_security_groups=[groups],
        delete_security_group=[in_use, in_use, {}],
    )
    group_resource(session).remove()
    assert len(session.asked("delete_security_group")) == 3
    stuck = Session(
        describe_subnets=[subnets],
        describe_security_groups=[groups],
        delete_security_group=[in_use],
    )
    with pytest.raises(WaitTimeoutError):
        group_resource(stuck).remove()


def test_a_security_group_is_looked_for_in_the_vpc_of_the_subnets_only() -> None:
    session = Session(
        describe_subnets=[{"Subnets": [subnet("s-a", "a", vpc="vpc-7")]}],
        describe_security_groups=[{"SecurityGroups": []}],
    )
    assert group_resource(session).find().state == "absent"
    (request,) = session.asked("describe_security_groups")
    assert {"Name": "vpc-id", "Values": ["vpc-7"]} in request["Filters"]


def test_a_security_group_whose_vpc_is_unknown_is_still_found() -> None:
    session = Session(
        describe_subnets=[error("InvalidSubnetID.NotFound")],
        describe_security_groups=[{"SecurityGroups": [{"GroupId": "sg-1", "Tags": TAGS}]}],
    )
    assert group_resource(session).find().state == "managed"


def test_the_id_of_a_new_group_is_remembered() -> None:
    unknown = error("InvalidGroup.NotFound")
    session = Session(
        describe_subnets=[{"Subnets": [subnet("s-a", "a")]}],
        describe_security_groups=[{"SecurityGroups": []}],
        create_security_group=[{"GroupId": "sg-new"}],
        authorize_security_group_ingress=[unknown, unknown, {}],
    )
    resource = replace(group_resource(session), open_to="203.0.113.7/32")
    resource.make()
    assert resource.group_id() == "sg-new"
    assert len(session.asked("authorize_security_group_ingress")) == 3


def test_a_group_that_is_missing_has_a_remedy() -> None:
    session = Session(
        describe_subnets=[{"Subnets": [subnet("s-a", "a")]}],
        describe_security_groups=[{"SecurityGroups": []}],
    )
    with pytest.raises(NotProvisionedError) as caught:
        group_resource(session).group_id()
    assert "iraas provision" in caught.value.remedy


def test_subnets_are_of_one_vpc_and_sorted_by_zone() -> None:
    answer = {"Subnets": [subnet("s-b", "b"), subnet("s-a", "a")]}
    found = find_subnets(context_of(Session(describe_subnets=[answer])))
    assert [one.subnet_id for one in found] == ["s-a", "s-b"]
    for bad in ([], [subnet("s-a", "a"), subnet("s-b", "b", vpc="vpc-2")]):
        with pytest.raises(ConfigurationError) as caught:
            find_subnets(context_of(Session(describe_subnets=[{"Subnets": bad}])))
        assert caught.value.remedy


def test_the_default_vpcs_subnets_are_taken_when_none_are_chosen() -> None:
    session = Session(describe_subnets=[{"Subnets": [subnet("s-a", "a")]}])
    find_subnets(context_of(session, config=FleetConfig()))
    assert session.asked("describe_subnets") == [
        {"Filters": [{"Name": "default-for-az", "Values": ["true"]}]}
    ]


def test_the_spot_role_is_created_once_and_is_optional() -> None:
    missing = error("NoSuchEntity")
    session = Session(get_role=[missing])
    ensure_spot_role(context_of(session))
    assert session.asked("create_service_linked_role") == [{"AWSServiceName": "spot.amazonaws.com"}]
    there = Session(get_role=[{}])
    ensure_spot_role(context_of(there))
    assert there.asked("create_service_linked_role") == []
    said: list[str] = []
    denied = Session(get_role=[missing], create_service_linked_role=[error("AccessDenied")])
    ensure_spot_role(context_of(denied, report=said.append))
    assert "on demand" in said[0]


class FakeArtifacts(Artifacts):
    """Artifacts that need no packing."""

    def __init__(self) -> None:
        one = Artifact("install/0/x", "0" * 64, b"")
        self.__dict__["wheel"] = self.__dict__["bundle"] = one


def instances(state: str) -> dict[str, Any]:
    one = {
        "InstanceId": "i-0123456789abcdef0",
        "State": {"Name": state},
        "LaunchTime": __import__("datetime").datetime.now(__import__("datetime").UTC),
        "InstanceType": "c6a.large",
    }
    return {"Reservations": [{"Instances": [one]}]}


def test_a_bake_whose_installation_failed_makes_no_image_and_ends_its_builder() -> None:
    session = Session(
        get_parameter=[{"Parameter": {"Value": "ami-new"}}],
        run_instances=[instances("pending")["Reservations"][0]],
        describe_instances=[{"Reservations": []}, instances("running"), instances("stopped")],
        head_object=[error("404", "HeadObject", 404)],
    )
    with pytest.raises(BackendError, match="installation in the builder") as caught:
        bake_image(context_of(session), FakeArtifacts())
    assert "get-console-output" in caught.value.remedy
    assert session.asked("create_image") == []
    assert session.asked("terminate_instances") == [{"InstanceIds": ["i-0123456789abcdef0"]}]
    (request,) = session.asked("run_instances")
    assert request["ImageId"] == "ami-new"
    assert request["InstanceInitiatedShutdownBehavior"] == "stop"
    assert 'ROLE="bake"' in request["UserData"]


def test_a_builder_is_launched_where_there_is_capacity() -> None:
    full, none = error("InsufficientInstanceCapacity"), error("Unsupported")
    session = Session(
        get_parameter=[{"Parameter": {"Value": "ami-new"}}],
        run_instances=[full, none, full, instances("pending")["Reservations"][0]],
        describe_instances=[{"Reservations": []}, instances("stopped")],
        create_image=[{"ImageId": "ami-baked"}],
        describe_images=[{"Images": [{"State": "available", "ImageId": "ami-baked"}]}],
    )
    options = FleetConfig(instance_types=("c6a.large", "c6i.large"), subnet_ids=("s-a", "s-b"))
    said: list[str] = []
    bake_image(context_of(session, config=options, report=said.append), FakeArtifacts())
    asked = session.asked("run_instances")
    assert [(one["InstanceType"], one["SubnetId"]) for one in asked] == [
        ("c6a.large", "s-a"),
        ("c6a.large", "s-b"),
        ("c6i.large", "s-a"),
        ("c6i.large", "s-b"),
    ]
    assert len({one["ClientToken"] for one in asked}) == 4
    assert len([line for line in said if "trying another" in line]) == 3


def test_a_builder_that_cannot_be_launched_is_an_error() -> None:
    answers: dict[str, Any] = {
        "get_parameter": [{"Parameter": {"Value": "ami-new"}}],
        "describe_instances": [{"Reservations": []}],
    }
    full = Session(run_instances=[error("InsufficientInstanceCapacity")], **answers)
    with pytest.raises(BackendError, match="InsufficientInstanceCapacity"):
        bake_image(context_of(full), FakeArtifacts())
    assert len(full.asked("run_instances")) == len(FleetConfig().instance_types)
    denied = Session(run_instances=[error("UnauthorizedOperation", status=403)], **answers)
    with pytest.raises(PermissionDeniedError):
        bake_image(context_of(denied), FakeArtifacts())
    assert len(denied.asked("run_instances")) == 1


def test_a_builder_waits_until_ec2_knows_its_profile() -> None:
    answer: Any = {
        "Error": {
            "Code": "InvalidParameterValue",
            "Message": "Value (x) for parameter iamInstanceProfile.name is invalid. "
            "Invalid IAM Instance Profile name",
        },
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    unknown = ClientError(answer, "RunInstances")
    session = Session(
        get_parameter=[{"Parameter": {"Value": "ami-new"}}],
        run_instances=[unknown, unknown, instances("pending")["Reservations"][0]],
        describe_instances=[{"Reservations": []}, instances("stopped")],
        create_image=[{"ImageId": "ami-baked"}],
        describe_images=[{"Images": [{"State": "available", "ImageId": "ami-baked"}]}],
    )
    assert bake_image(context_of(session), FakeArtifacts()) == "ami-baked"
    tokens = {one["ClientToken"] for one in session.asked("run_instances")}
    assert len(tokens) == 1


def test_a_bake_without_permission_reports_it() -> None:
    session = Session(
        get_parameter=[error("AccessDeniedException")],
        describe_instances=[{"Reservations": []}],
    )
    with pytest.raises(PermissionDeniedError, match="ssm"):
        bake_image(context_of(session), FakeArtifacts())


def test_a_response_queue_is_tls_only_from_its_making_and_that_costs_no_call() -> None:
    session = Session(get_queue_url=[{"QueueUrl": "https://sqs/q"}])
    SqsResponseQueues(cast("AwsSession", session), Names("demo")).create("me")
    (request,) = session.asked("create_queue")
    (statement,) = json.loads(request["Attributes"]["Policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == [f"arn:aws:sqs:eu-west-1:{ACCOUNT}:iraas-demo-reply-me"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert session.asked("set_queue_attributes") == []
