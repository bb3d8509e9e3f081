"""Preflight checks: permissions, quotas and network, before anything is created."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.errors import error_code, translate_errors
from iraas.backends.aws.iam.policies import DeploymentArns
from iraas.backends.aws.iam.role_permissions import IMAGE_PARAMETER, SESSION_MANAGER, web_statements
from iraas.backends.aws.names import DEPLOYMENT_TAG, IMAGES_PREFIX, INSTALL_PREFIX
from iraas.backends.aws.provisioning.network import find_subnets, subnets_without_egress
from iraas.backends.aws.provisioning.resource import ProvisioningContext, tag_map
from iraas.backends.aws.provisioning.spot_role import SPOT_ROLE, has_spot_role
from iraas.errors import IraasError, PermissionDeniedError

ON_DEMAND_VCPUS = "L-1216C47A"
SPOT_VCPUS = "L-34B43A08"
"""Quotas for standard instances, in vCPUs
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-quotas.html)."""

_SIZES = {"nano": 2, "micro": 2, "small": 2, "medium": 2, "large": 2, "xlarge": 4}
_XLARGE = re.compile(r"(\d+)xlarge")
_STANDARD = re.compile(r"(a|c|d|h|i|m|r|t|z)\d.*")
"""Instance families that these quotas apply to."""

_ACTIONS_A_CALL = 50
_CONTEXT_KEYS = {"iam:PassedToService": "ec2.amazonaws.com"}


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """Result of one preflight check.

    Attributes:
        subject: The checked subject.
        ok: Whether the check passed; None if it could not run.
        text: The finding.
        remedy: The remedy; empty if none is needed.
    """

    subject: str
    ok: bool | None
    text: str
    remedy: str = ""


def run_preflight(context: ProvisioningContext) -> list[PreflightResult]:
    """Run all checks. Changes nothing; a check that cannot run gives a result as well."""
    results: list[PreflightResult] = []
    for subject, check in (
        ("permissions", check_permissions),
        ("on-demand quota", check_on_demand_quota),
        ("Spot quota", check_spot_quota),
        ("Spot role", _spot_role),
        ("subnets", _subnets),
        ("egress", _egress),
    ):
        try:
            results += check(context)
        except IraasError as exc:
            results.append(PreflightResult(subject, None, str(exc), exc.remedy))
    return results


def _spot_role(context: ProvisioningContext) -> Iterator[PreflightResult]:
    if "spot" in context.config.pricings:
        state = "present" if has_spot_role(context) else "created by provisioning"
        text = f"{SPOT_ROLE} is {state}"
        yield PreflightResult("Spot role", ok=True, text=text)


def _subnets(context: ProvisioningContext) -> Iterator[PreflightResult]:
    subnets = find_subnets(context)
    needed = context.config.capacity + 1
    free = sum(subnet.free_addresses for subnet in subnets)
    zones = len({subnet.zone for subnet in subnets})
    text = f"{len(subnets)} subnets in {zones} zones with {free} free addresses"
    if free < needed:
        yield PreflightResult(
            "subnets", ok=False, text=text, remedy=f"{needed} addresses are needed."
        )
    else:
        yield PreflightResult("subnets", ok=True, text=text)


def _egress(context: ProvisioningContext) -> Iterator[PreflightResult]:
    """Check that instances can reach AWS, and PyPI while they install."""
    closed = subnets_without_egress(context)
    if closed:
        yield PreflightResult(
            "egress",
            ok=False,
            text=f"instances in {', '.join(closed)} reach neither AWS nor PyPI: no default route "
            "to a NAT gateway, nor one to an internet gateway together with public addresses",
            remedy="Choose other subnets with --subnets, or give these a route and addresses: "
            "aws ec2 modify-subnet-attribute --map-public-ip-on-launch --subnet-id …",
        )
    else:
        yield PreflightResult("egress", ok=True, text="all subnets have a route out")


def vcpus(instance_type: str) -> int:
    """The vCPUs of an instance type, by its size."""
    size = instance_type.rpartition(".")[2]
    many = _XLARGE.fullmatch(size)
    return 4 * int(many[1]) if many else _SIZES.get(size, 2)


def check_on_demand_quota(context: ProvisioningContext) -> Iterator[PreflightResult]:
    """Check the on-demand quota for the web tier and on-demand workers."""
    web = vcpus(context.config.web_instance_type)
    workers = _fleet_vcpus(context) if "on-demand" in context.config.pricings else 0
    yield _quota(context, "on-demand quota", ON_DEMAND_VCPUS, workers, web, lifecycle="")


def check_spot_quota(context: ProvisioningContext) -> Iterator[PreflightResult]:
    """Check the Spot quota."""
    if "spot" in context.config.pricings:
        yield _quota(context, "Spot quota", SPOT_VCPUS, _fleet_vcpus(context), 0, lifecycle="spot")


def _fleet_vcpus(context: ProvisioningContext) -> int:
    return context.config.capacity * max(map(vcpus, context.config.instance_types))


def _quota(
    context: ProvisioningContext, subject: str, code: str, workers: int, web: int, *, lifecycle: str
) -> PreflightResult:
    quotas: Any = context.session.client("service-quotas")
    with translate_errors("servicequotas", f"the quota {code}"):
        response = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)
    allowed = int(response["Quota"]["Value"])
    used = _used_by_others(context, lifecycle)
    needs = [f"{context.config.capacity} workers need {workers}"] if workers else []
    needs += [f"the web tier needs {web}"] if web else []
    text = f"{allowed} vCPUs are allowed, others use {used} of them, {', '.join(needs)}"
    free, needed = allowed - used, workers + web
    if free >= needed:
        return PreflightResult(subject, ok=True, text=text)
    fit = max(0, free - web) * context.config.capacity // workers if workers else 0
    return PreflightResult(
        subject,
        ok=False,
        text=f"{text}; {fit} of these workers fit" if workers else text,
        remedy=f"Request {needed + used} at https://console.aws.amazon.com/servicequotas/ "
        f"({code}), or use a smaller fleet (--max-workers).",
    )


def _used_by_others(context: ProvisioningContext, lifecycle: str) -> int:
    """The vCPUs of the account's other instances under the same quota."""
    filters = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    used = 0
    request: dict[str, Any] = {"Filters": filters, "MaxResults": 1000}
    while True:
        with translate_errors("ec2", "the account's instances"):
            page = context.ec2.describe_instances(**request)
        for reservation in page.get("Reservations", []):
            for instance in reservation.get("Instances", []):
                is_ours = (
                    tag_map(instance.get("Tags")).get(DEPLOYMENT_TAG) == context.names.deployment
                )
                same = instance.get("InstanceLifecycle", "") == lifecycle
                if same and not is_ours and _STANDARD.fullmatch(instance["InstanceType"]):
                    used += _vcpus_of(instance)
        if not page.get("NextToken"):
            return used
        request["NextToken"] = page["NextToken"]


def _vcpus_of(instance: dict[str, Any]) -> int:
    cpu = instance.get("CpuOptions") or {}
    known = int(cpu.get("CoreCount", 0)) * int(cpu.get("ThreadsPerCore", 0))
    return known or vcpus(instance["InstanceType"])


def provision_actions(arns: DeploymentArns) -> dict[tuple[str, ...], str]:
    """IAM actions of `provision`, `bake` and `teardown`, by the resources that they apply to."""
    names = arns.names
    roles = [names.worker_role(arns.region), names.web_role(arns.region)]
    return {
        ("*",): """ec2:DescribeLaunchTemplates ec2:DescribeLaunchTemplateVersions
            ec2:DescribeSecurityGroups ec2:DescribeInstances ec2:DescribeSubnets
            ec2:DescribeImages ec2:DescribeSnapshots ec2:DescribeVolumes sqs:ListQueues""",
        (arns.ec2("launch-template/lt-0"),): """ec2:CreateLaunchTemplate
            ec2:CreateLaunchTemplateVersion ec2:ModifyLaunchTemplate ec2:DeleteLaunchTemplate
            ec2:CreateTags""",
        (arns.ec2("security-group/sg-0"),): """ec2:CreateSecurityGroup ec2:DeleteSecurityGroup
            ec2:AuthorizeSecurityGroupIngress ec2:RevokeSecurityGroupIngress ec2:CreateTags""",
        (arns.ec2("instance/i-0"),): "ec2:RunInstances ec2:TerminateInstances ec2:CreateImage",
        (arns.ec2("volume/vol-0"),): "ec2:DeleteVolume",
        (arns.ec2("image/ami-0", owned=False),): "ec2:DeregisterImage",
        (arns.ec2("snapshot/snap-0", owned=False),): "ec2:DeleteSnapshot",
        tuple(arns.role(role) for role in roles): """iam:CreateRole iam:GetRole iam:TagRole
            iam:DeleteRole iam:PutRolePolicy iam:DeleteRolePolicy iam:ListRolePolicies
            iam:ListAttachedRolePolicies iam:DetachRolePolicy iam:UpdateAssumeRolePolicy
            iam:PassRole""",
        tuple(arns.profile(role) for role in roles): """iam:CreateInstanceProfile
            iam:GetInstanceProfile iam:TagInstanceProfile iam:DeleteInstanceProfile
            iam:AddRoleToInstanceProfile iam:RemoveRoleFromInstanceProfile""",
        (arns.bucket(arns.inputs), arns.bucket(arns.outputs)): """s3:CreateBucket
            s3:DeleteBucket s3:ListBucket s3:ListBucketVersions s3:ListBucketMultipartUploads
            s3:GetBucketTagging s3:PutBucketTagging s3:PutBucketPublicAccessBlock
            s3:PutBucketPolicy s3:PutEncryptionConfiguration s3:PutLifecycleConfiguration""",
        (
            arns.bucket(arns.inputs, f"{IMAGES_PREFIX}x"),
            arns.bucket(arns.outputs, f"{INSTALL_PREFIX}x"),
        ): "s3:GetObject s3:PutObject s3:DeleteObject s3:DeleteObjectVersion "
        "s3:AbortMultipartUpload",
        (
            arns.queue(names.requests),
            arns.queue(names.dead_letters),
        ): """sqs:CreateQueue sqs:DeleteQueue sqs:GetQueueUrl sqs:GetQueueAttributes
            sqs:SetQueueAttributes sqs:ListQueueTags sqs:TagQueue""",
        (
            f"arn:{arns.partition}:ssm:{arns.region}::parameter{IMAGE_PARAMETER}",
        ): "ssm:GetParameter ssm:GetParameters",
    }


def submit_actions(arns: DeploymentArns) -> dict[tuple[str, ...], str]:
    """IAM actions of `submit`: those of the web tier, since both run a controller."""
    found: dict[tuple[str, ...], str] = defaultdict(str)
    for statement in web_statements(arns):
        if statement.actions != SESSION_MANAGER:
            resource_arns = tuple(re.sub(r"(?<=.)\*$", "x", arn) for arn in statement.resources)
            found[resource_arns] += " " + " ".join(statement.actions)
    return dict(found)


def check_permissions(context: ProvisioningContext) -> Iterator[PreflightResult]:
    """Simulate all required IAM actions; without that permission, try some as dry runs."""
    principal = _principal(context)
    if principal.endswith(":root"):
        yield PreflightResult("permissions", ok=True, text="the caller is the account's root user")
        return
    arns = context.arns
    for subject, required in (
        ("permissions", provision_actions(arns)),
        ("to submit", submit_actions(arns)),
    ):
        try:
            denied = _denied(context, principal, required)
        except IraasError as exc:
            yield PreflightResult(
                "permissions",
                ok=None,
                text=f"they cannot be simulated ({exc}); some are checked by dry runs instead",
                remedy="Allow iam:SimulatePrincipalPolicy to check all of them.",
            )
            yield from _dry_run_checks(context)
            return
        if denied:
            text = f"{principal} may not: {', '.join(denied)}"
            yield PreflightResult(subject, ok=False, text=text, remedy="Allow these actions.")
        else:
            count = len({action for actions in required.values() for action in actions.split()})
            yield PreflightResult(
                subject, ok=True, text=f"all {count} actions are allowed to {principal}"
            )


def _denied(
    context: ProvisioningContext, principal: str, required: Mapping[tuple[str, ...], str]
) -> list[str]:
    """The denied actions, each with a resource."""
    entries = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in _context_keys(context).items()
    ]
    denied: dict[str, None] = {}
    with translate_errors("iam", principal):
        for resource_arns, actions_text in required.items():
            actions = list(dict.fromkeys(actions_text.split()))
            for start in range(0, len(actions), _ACTIONS_A_CALL):
                response = context.iam.simulate_principal_policy(
                    PolicySourceArn=principal,
                    ActionNames=actions[start : start + _ACTIONS_A_CALL],
                    ResourceArns=list(resource_arns),
                    ContextEntries=entries,
                )
                for evaluation in response["EvaluationResults"]:
                    if evaluation["EvalDecision"] != "allowed":
                        where = evaluation.get("EvalResourceName", "*")
                        on = "" if where == "*" else f" on {where}"
                        denied[f"{evaluation['EvalActionName']}{on}"] = None
    return list(denied)


def _context_keys(context: ProvisioningContext) -> dict[str, str]:
    return _CONTEXT_KEYS | {
        "aws:RequestedRegion": context.region,
        "aws:SecureTransport": "true",
        "s3:ResourceAccount": context.account,
        "aws:ResourceAccount": context.account,
    }


def _principal(context: ProvisioningContext) -> str:
    """The caller as a policy source: the role, if it was assumed."""
    sts: Any = context.session.client("sts")
    with translate_errors("sts", "the caller's identity"):
        arn = str(sts.get_caller_identity()["Arn"])
    assumed = re.fullmatch(r"arn:([a-z-]+):sts::(\d+):assumed-role/([^/]+)/.*", arn)
    if assumed is None:
        return arn
    try:
        with translate_errors("iam", f"the role {assumed[3]}"):
            # The session's ARN omits the role's path, which SSO roles have.
            return str(context.iam.get_role(RoleName=assumed[3])["Role"]["Arn"])
    except PermissionDeniedError:
        return f"arn:{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}"


def _dry_run_checks(context: ProvisioningContext) -> Iterator[PreflightResult]:
    name = context.names.worker
    calls: dict[str, tuple[Any, dict[str, Any]]] = {
        "ec2:DescribeInstances": (context.ec2.describe_instances, {}),
        "ec2:CreateSecurityGroup": (
            context.ec2.create_security_group,
            {"GroupName": name, "Description": "dry run"},
        ),
        "ec2:CreateLaunchTemplate": (
            context.ec2.create_launch_template,
            {"LaunchTemplateName": name, "LaunchTemplateData": {"InstanceType": "t3.small"}},
        ),
    }
    for action, (call, request) in calls.items():
        code = ""
        try:
            call(DryRun=True, **request)
        except Exception as exc:
            code = error_code(exc)
            if not code:
                raise
        denied = code in ("UnauthorizedOperation", "AccessDenied")
        text = f"{action} is {'not ' if denied else ''}allowed"
        yield PreflightResult(
            "permissions", ok=not denied, text=text, remedy=f"Allow {action}." if denied else ""
        )
