"""The checks of ``iraas provision --check`` and their findings."""

from typing import Any

import pytest

from iraas.backends.aws.iam.policies import DeploymentArns
from iraas.backends.aws.names import Names
from iraas.backends.aws.provisioning.preflight import (
    PreflightResult,
    provision_actions,
    run_preflight,
    submit_actions,
    vcpus,
)
from tests.fakes.scripted_sdk import ACCOUNT, Session, context_of, error, subnet

ROUTE_OUT = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}
ROUTES = [{"Associations": [{"Main": True}], "Routes": [ROUTE_OUT]}]
ARNS = DeploymentArns(Names("demo"), ACCOUNT, "eu-west-1")


def answering(**answers: Any) -> Session:
    given = {
        "get_caller_identity": [{"Arn": f"arn:aws:iam::{ACCOUNT}:user/me"}],
        "simulate_principal_policy": [{"EvaluationResults": []}],
        "get_service_quota": [{"Quota": {"Value": 64.0}}],
        "describe_subnets": [{"Subnets": [subnet("s-a", "a")]}],
        "describe_instances": [{"Reservations": []}],
        "describe_route_tables": [{"RouteTables": ROUTES}],
        **answers,
    }
    return Session(**given)


def checked(**answers: Any) -> dict[str, PreflightResult]:
    return {one.subject: one for one in run_preflight(context_of(answering(**answers)))}


def test_preflight_of_a_ready_account_finds_no_problem() -> None:
    found = checked()
    assert {one.ok for one in found.values()} == {True}
    assert {"permissions", "to submit", "on-demand quota", "Spot quota", "egress"} <= set(found)


def test_missing_permissions_are_named_with_the_resource() -> None:
    role = ARNS.role("iraas-demo-eu-west-1-web")
    denied = {
        "EvaluationResults": [
            {
                "EvalActionName": "iam:CreateRole",
                "EvalDecision": "implicitDeny",
                "EvalResourceName": role,
            },
            {"EvalActionName": "sqs:CreateQueue", "EvalDecision": "allowed"},
        ]
    }
    found = checked(simulate_principal_policy=[denied, {"EvaluationResults": []}])["permissions"]
    assert found.ok is False
    assert f"iam:CreateRole on {role}" in found.text
    assert "sqs:CreateQueue" not in found.text


def asked_about(**answers: Any) -> list[dict[str, Any]]:
    session = answering(**answers)
    run_preflight(context_of(session))
    return session.asked("simulate_principal_policy")


def test_each_action_is_asked_about_on_what_it_is_called_on() -> None:
    asked = {
        (action, arn)
        for one in asked_about()
        for action in one["ActionNames"]
        for arn in one["ResourceArns"]
    }
    for action, arn in (
        ("sqs:CreateQueue", ARNS.queue("iraas-demo-requests")),
        ("s3:CreateBucket", ARNS.bucket(ARNS.outputs)),
        ("s3:PutObject", ARNS.bucket(ARNS.outputs, "install/x")),
        ("iam:CreateRole", ARNS.role("iraas-demo-eu-west-1-worker")),
        ("iam:CreateInstanceProfile", ARNS.profile("iraas-demo-eu-west-1-web")),
        ("ec2:DescribeInstances", "*"),
        # the calls of submit
        ("sqs:SendMessage", ARNS.queue("iraas-demo-requests")),
        ("sqs:ReceiveMessage", ARNS.queue("iraas-demo-reply-x")),
        ("s3:PutObject", ARNS.bucket(ARNS.inputs, "images/x")),
        ("s3:PutObject", ARNS.bucket(ARNS.outputs, "records/x")),
        ("ec2:RunInstances", ARNS.ec2("subnet/x")),
    ):
        assert (action, arn) in asked
    assert not any("*" in arn for _, arn in asked if arn != "*")
    assert not any(action.startswith("ssmmessages:") for action, _ in asked)


def test_what_provisioning_and_submitting_take_is_asked_about_and_nothing_else() -> None:
    asked = {action for one in asked_about() for action in one["ActionNames"]}
    wanted = [*provision_actions(ARNS).values(), *submit_actions(ARNS).values()]
    assert asked == {action for actions in wanted for action in actions.split()}


def test_passing_a_role_is_simulated_as_passing_it_to_ec2() -> None:
    for one in asked_about():
        context = {it["ContextKeyName"]: it["ContextKeyValues"] for it in one["ContextEntries"]}
        assert context["iam:PassedToService"] == ["ec2.amazonaws.com"]


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (
            [{"Role": {"Arn": f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso/x/Admin"}}],
            f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso/x/Admin",
        ),
        ([error("AccessDenied", status=403)], f"arn:aws:iam::{ACCOUNT}:role/Admin"),
    ],
)
def test_an_assumed_role_is_asked_about_as_the_role_that_it_is(
    roles: list[Any], expected: str
) -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/me"
    asked = asked_about(get_caller_identity=[{"Arn": arn}], get_role=roles)
    assert {one["PolicySourceArn"] for one in asked} == {expected}


def test_without_permission_to_simulate_some_calls_are_tried() -> None:
    session = answering(
        simulate_principal_policy=[error("AccessDenied", status=403)],
        describe_instances=[error("DryRunOperation", status=412)],
        create_security_group=[error("UnauthorizedOperation", status=403)],
        create_launch_template=[error("DryRunOperation", status=412)],
    )
    findings = run_preflight(context_of(session))
    tried = {one.text: one.ok for one in findings if one.subject == "permissions"}
    assert tried["ec2:CreateSecurityGroup is not allowed"] is False
    assert tried["ec2:DescribeInstances is allowed"] is True


def test_a_quota_too_small_says_how_many_workers_fit() -> None:
    found = checked(get_service_quota=[{"Quota": {"Value": 5.0}}])
    assert found["Spot quota"].ok is False
    assert (
        "5 vCPUs are allowed, others use 0 of them, 19 workers need 38; 2 of these workers fit"
        in (found["Spot quota"].text)
    )
    assert "L-34B43A08" in found["Spot quota"].remedy
    assert "L-1216C47A" in found["on-demand quota"].remedy
    assert (
        "1 of these workers fit" in found["on-demand quota"].text
    )  # the web tier takes two of five


def instance(instance_type: str, *, ours: bool = False, **more: Any) -> dict[str, Any]:
    tags = [{"Key": "iraas:deployment", "Value": "demo" if ours else "other"}]
    return {"InstanceType": instance_type, "Tags": tags, **more}


def test_other_instances_reduce_the_quota_of_their_purchase_option() -> None:
    running = [
        instance("m5.4xlarge", InstanceLifecycle="spot"),
        instance("c5.large", CpuOptions={"CoreCount": 1, "ThreadsPerCore": 1}),
        instance("p5.48xlarge"),  # of another quota
        instance("c6a.large", ours=True),  # one of those that the fleet needs anyway
    ]
    pages = [
        {"Reservations": [{"Instances": running[:2]}], "NextToken": "more"},
        {"Reservations": [{"Instances": running[2:]}]},
    ]
    found = checked(describe_instances=pages * 2)
    assert "others use 1 of them" in found["on-demand quota"].text
    assert "others use 16 of them" in found["Spot quota"].text
    full = checked(describe_instances=pages * 2, get_service_quota=[{"Quota": {"Value": 40.0}}])
    assert full["Spot quota"].ok is False
    assert "Request 54" in full["Spot quota"].remedy


def test_a_check_without_permission_is_a_finding_and_the_rest_is_checked() -> None:
    found = checked(
        get_service_quota=[error("AccessDeniedException")],
        describe_route_tables=[error("UnauthorizedOperation", status=403)],
    )
    assert found["on-demand quota"].ok is None
    assert found["egress"].ok is None
    assert found["subnets"].ok is True


def test_too_few_addresses_are_found() -> None:
    found = checked(describe_subnets=[{"Subnets": [subnet("s-a", "a", free=3)]}])
    assert found["subnets"].ok is False


@pytest.mark.parametrize(
    ("is_public", "tables", "ok"),
    [
        (True, ROUTES, True),
        (False, ROUTES, False),
        (True, [], False),
        (True, [{"Associations": [{"Main": True}], "Routes": []}], False),
        (
            False,
            [
                {
                    "Associations": [{"Main": True}],
                    "Routes": [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}],
                }
            ],
            True,
        ),
        (True, [*ROUTES, {"Associations": [{"SubnetId": "s-a"}], "Routes": []}], False),
        (
            True,
            [{"Associations": [{"Main": True}], "Routes": [ROUTE_OUT | {"State": "blackhole"}]}],
            False,
        ),
    ],
)
def test_subnets_from_which_nothing_can_be_reached_are_found(
    is_public: bool, tables: list[dict[str, Any]], ok: bool
) -> None:
    found = checked(
        describe_subnets=[{"Subnets": [subnet("s-a", "a") | {"MapPublicIpOnLaunch": is_public}]}],
        describe_route_tables=[{"RouteTables": tables}],
    )["egress"]
    assert found.ok is ok
    assert ("s-a" in found.text) is not ok


@pytest.mark.parametrize(
    ("instance_type", "count"),
    [("t3.small", 2), ("c6a.large", 2), ("c6a.xlarge", 4), ("c6a.4xlarge", 16), ("x9.metal", 2)],
)
def test_vcpus_follow_from_the_size(instance_type: str, count: int) -> None:
    assert vcpus(instance_type) == count
