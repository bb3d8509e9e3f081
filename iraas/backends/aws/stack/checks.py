"""What would stand in the way of a deployment: found before anything is made."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.stack.network import find_subnets
from iraas.backends.aws.stack.parts import Site
from iraas.backends.aws.stack.spot_role import SPOT_ROLE, has_spot_role
from iraas.backends.aws.translation import code_of, translating
from iraas.errors import IraasError

ON_DEMAND_VCPUS = "L-1216C47A"
SPOT_VCPUS = "L-34B43A08"
"""Quotas for standard instances, in vCPUs
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-quotas.html)."""


def _actions(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PROVISION_ACTIONS = _actions(
    """ec2:CreateLaunchTemplate ec2:CreateLaunchTemplateVersion ec2:ModifyLaunchTemplate
    ec2:DeleteLaunchTemplate ec2:DescribeLaunchTemplates ec2:DescribeLaunchTemplateVersions
    ec2:CreateSecurityGroup ec2:DeleteSecurityGroup ec2:DescribeSecurityGroups
    ec2:AuthorizeSecurityGroupIngress ec2:RevokeSecurityGroupIngress ec2:CreateTags
    ec2:DescribeInstances ec2:RunInstances ec2:TerminateInstances ec2:DescribeSubnets
    ec2:DescribeImages ec2:DescribeSnapshots ec2:DescribeVolumes ec2:DeleteVolume
    ec2:CreateImage ec2:DeregisterImage ec2:DeleteSnapshot
    iam:CreateRole iam:GetRole iam:TagRole iam:DeleteRole iam:PutRolePolicy
    iam:DeleteRolePolicy iam:ListRolePolicies iam:ListAttachedRolePolicies iam:DetachRolePolicy
    iam:UpdateAssumeRolePolicy iam:CreateInstanceProfile iam:GetInstanceProfile
    iam:TagInstanceProfile iam:DeleteInstanceProfile iam:AddRoleToInstanceProfile
    iam:RemoveRoleFromInstanceProfile iam:PassRole
    s3:CreateBucket s3:DeleteBucket s3:ListBucket s3:ListBucketVersions
    s3:ListBucketMultipartUploads s3:AbortMultipartUpload s3:GetBucketTagging
    s3:PutBucketTagging s3:PutBucketPublicAccessBlock s3:PutBucketPolicy
    s3:PutEncryptionConfiguration s3:PutLifecycleConfiguration s3:GetObject s3:PutObject
    s3:DeleteObject s3:DeleteObjectVersion
    sqs:CreateQueue sqs:DeleteQueue sqs:GetQueueUrl sqs:GetQueueAttributes
    sqs:SetQueueAttributes sqs:ListQueues sqs:ListQueueTags sqs:TagQueue
    ssm:GetParameter ssm:GetParameters"""
)
"""What `provision`, `bake` and `teardown` call."""

_ACTIONS_A_CALL = 50
_SIZES = {"nano": 2, "micro": 2, "small": 2, "medium": 2, "large": 2, "xlarge": 4}
_XLARGE = re.compile(r"(\d+)xlarge")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What was looked at.
        ok: Whether it is as it should be. None if it could not be looked at.
        text: What was found.
        remedy: What to do; empty if nothing needs to be done.
    """

    subject: str
    ok: bool | None
    text: str
    remedy: str = ""


def check_site(site: Site) -> list[Finding]:
    """Look at all of it. Changes nothing; what may not be looked at is a finding, too."""
    findings: list[Finding] = []
    for subject, look in (
        ("permissions", _permissions),
        ("on-demand quota", _on_demand_quota),
        ("Spot quota", _spot_quota),
        ("Spot role", _spot_role),
        ("subnets", _subnets),
    ):
        try:
            findings += look(site)
        except IraasError as exc:
            findings.append(Finding(subject, None, str(exc), exc.remedy))
    return findings


def vcpus(kind: str) -> int:
    """The vCPUs of an instance type, by its size."""
    size = kind.rpartition(".")[2]
    many = _XLARGE.fullmatch(size)
    return 4 * int(many[1]) if many else _SIZES.get(size, 2)


def _permissions(site: Site) -> Iterator[Finding]:
    who = _principal(site)
    if who.endswith(":root"):
        yield Finding("permissions", ok=True, text="this is the account's root user")
        return
    iam: Any = site.session.client("iam")
    denied: list[str] = []
    try:
        with translating("iam", who):
            for start in range(0, len(PROVISION_ACTIONS), _ACTIONS_A_CALL):
                answer = iam.simulate_principal_policy(
                    PolicySourceArn=who,
                    ActionNames=list(PROVISION_ACTIONS[start : start + _ACTIONS_A_CALL]),
                )
                denied += [
                    one["EvalActionName"]
                    for one in answer["EvaluationResults"]
                    if one["EvalDecision"] != "allowed"
                ]
    except IraasError as exc:
        yield Finding(
            "permissions",
            ok=None,
            text=f"they cannot be simulated ({exc}); some are tried instead",
            remedy="Allow iam:SimulatePrincipalPolicy to have all of them looked at.",
        )
        yield from _dry_runs(site)
        return
    if denied:
        text = f"{who} may not: {', '.join(denied)}"
        yield Finding("permissions", ok=False, text=text, remedy="Allow these actions.")
    else:
        text = f"all {len(PROVISION_ACTIONS)} actions are allowed to {who}"
        yield Finding("permissions", ok=True, text=text)


def _principal(site: Site) -> str:
    """Who asks, as a policy source: the role behind an assumed one."""
    sts: Any = site.session.client("sts")
    with translating("sts", "who asks"):
        arn = str(sts.get_caller_identity()["Arn"])
    assumed = re.fullmatch(r"arn:([a-z-]+):sts::(\d+):assumed-role/([^/]+)/.*", arn)
    return f"arn:{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}" if assumed else arn


def _dry_runs(site: Site) -> Iterator[Finding]:
    ec2: Any = site.session.client("ec2")
    name = site.names.worker
    calls: dict[str, tuple[Any, dict[str, Any]]] = {
        "ec2:DescribeInstances": (ec2.describe_instances, {}),
        "ec2:CreateSecurityGroup": (
            ec2.create_security_group,
            {"GroupName": name, "Description": "dry run"},
        ),
        "ec2:CreateLaunchTemplate": (
            ec2.create_launch_template,
            {"LaunchTemplateName": name, "LaunchTemplateData": {"InstanceType": "t3.small"}},
        ),
    }
    for action, (call, request) in calls.items():
        code = ""
        try:
            call(DryRun=True, **request)
        except Exception as exc:
            code = code_of(exc)
            if not code:
                raise
        denied = code in ("UnauthorizedOperation", "AccessDenied")
        text = f"{action} is {'not ' if denied else ''}allowed"
        yield Finding(
            "permissions", ok=not denied, text=text, remedy=f"Allow {action}." if denied else ""
        )


def _on_demand_quota(site: Site) -> Iterator[Finding]:
    if "on-demand" in site.options.pricings:
        needed = _fleet_vcpus(site) + vcpus(site.options.web_kind)
        yield _quota(site, "on-demand quota", ON_DEMAND_VCPUS, needed)
    else:
        yield _quota(site, "on-demand quota", ON_DEMAND_VCPUS, vcpus(site.options.web_kind))


def _spot_quota(site: Site) -> Iterator[Finding]:
    if "spot" in site.options.pricings:
        yield _quota(site, "Spot quota", SPOT_VCPUS, _fleet_vcpus(site))


def _fleet_vcpus(site: Site) -> int:
    return site.options.capacity * max(vcpus(kind) for kind in site.options.kinds)


def _quota(site: Site, subject: str, code: str, needed: int) -> Finding:
    quotas: Any = site.session.client("service-quotas")
    with translating("servicequotas", f"the quota {code}"):
        answer = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)
    allowed = int(answer["Quota"]["Value"])
    text = f"{allowed} vCPUs are allowed, {site.options.capacity} workers need {needed}"
    if allowed >= needed:
        return Finding(subject, ok=True, text=text)
    workers = allowed * site.options.capacity // needed
    return Finding(
        subject,
        ok=False,
        text=f"{text}; about {workers} workers fit",
        remedy=f"Ask for {needed} at https://console.aws.amazon.com/servicequotas/ ({code}), "
        "or do with a smaller fleet.",
    )


def _spot_role(site: Site) -> Iterator[Finding]:
    if "spot" in site.options.pricings:
        there = has_spot_role(site)
        text = f"{SPOT_ROLE} is {'there' if there else 'made when the deployment is provisioned'}"
        yield Finding("Spot role", ok=True, text=text)


def _subnets(site: Site) -> Iterator[Finding]:
    subnets = find_subnets(site)
    needed = site.options.capacity + 1
    free = sum(one.free_addresses for one in subnets)
    zones = len({one.zone for one in subnets})
    text = f"{len(subnets)} subnets in {zones} zones with {free} free addresses"
    if free < needed:
        yield Finding("subnets", ok=False, text=text, remedy=f"{needed} addresses are needed.")
    else:
        yield Finding("subnets", ok=True, text=text)
