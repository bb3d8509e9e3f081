"""Preflight checks: permissions, quotas and network, before anything is created."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.errors import code_of, translating
from iraas.backends.aws.iam.policies import Place
from iraas.backends.aws.iam.role_permissions import IMAGE_PARAMETER, SESSION_MANAGER, web_statements
from iraas.backends.aws.names import DEPLOYMENT_TAG, IMAGES_PREFIX, INSTALL_PREFIX
from iraas.backends.aws.provisioning.network import find_subnets, subnets_without_a_way_out
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
"""The families that these quotas are about, by the type's name."""

_ACTIONS_A_CALL = 50
_CONTEXT = {"iam:PassedToService": "ec2.amazonaws.com"}


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


def check_site(site: ProvisioningContext) -> list[Finding]:
    """Look at all of it. Changes nothing; what may not be looked at is a finding, too."""
    findings: list[Finding] = []
    for subject, look in (
        ("permissions", check_permissions),
        ("on-demand quota", check_on_demand_quota),
        ("Spot quota", check_spot_quota),
        ("Spot role", _spot_role),
        ("subnets", _subnets),
        ("way out", _way_out),
    ):
        try:
            findings += look(site)
        except IraasError as exc:
            findings.append(Finding(subject, None, str(exc), exc.remedy))
    return findings


def _spot_role(site: ProvisioningContext) -> Iterator[Finding]:
    if "spot" in site.options.pricings:
        there = has_spot_role(site)
        text = f"{SPOT_ROLE} is {'there' if there else 'made when the deployment is provisioned'}"
        yield Finding("Spot role", ok=True, text=text)


def _subnets(site: ProvisioningContext) -> Iterator[Finding]:
    subnets = find_subnets(site)
    needed = site.options.capacity + 1
    free = sum(one.free_addresses for one in subnets)
    zones = len({one.zone for one in subnets})
    text = f"{len(subnets)} subnets in {zones} zones with {free} free addresses"
    if free < needed:
        yield Finding("subnets", ok=False, text=text, remedy=f"{needed} addresses are needed.")
    else:
        yield Finding("subnets", ok=True, text=text)


def _way_out(site: ProvisioningContext) -> Iterator[Finding]:
    """Instances reach AWS, and PyPI while they install, or are of no use."""
    closed = subnets_without_a_way_out(site)
    if closed:
        yield Finding(
            "way out",
            ok=False,
            text=f"instances in {', '.join(closed)} reach neither AWS nor PyPI: no default route "
            "to a NAT gateway, nor one to an internet gateway together with public addresses",
            remedy="Choose other subnets with --subnets, or give these a route and addresses: "
            "aws ec2 modify-subnet-attribute --map-public-ip-on-launch --subnet-id …",
        )
    else:
        yield Finding("way out", ok=True, text="all subnets have a route out")


def vcpus(kind: str) -> int:
    """The vCPUs of an instance type, by its size."""
    size = kind.rpartition(".")[2]
    many = _XLARGE.fullmatch(size)
    return 4 * int(many[1]) if many else _SIZES.get(size, 2)


def check_on_demand_quota(site: ProvisioningContext) -> Iterator[Finding]:
    """Look at the quota for instances on demand: the web tier's one, and workers if so paid."""
    web = vcpus(site.options.web_kind)
    workers = _fleet_vcpus(site) if "on-demand" in site.options.pricings else 0
    yield _quota(site, "on-demand quota", ON_DEMAND_VCPUS, workers, web, lifecycle="")


def check_spot_quota(site: ProvisioningContext) -> Iterator[Finding]:
    """Look at the quota for Spot instances."""
    if "spot" in site.options.pricings:
        yield _quota(site, "Spot quota", SPOT_VCPUS, _fleet_vcpus(site), 0, lifecycle="spot")


def _fleet_vcpus(site: ProvisioningContext) -> int:
    return site.options.capacity * max(vcpus(kind) for kind in site.options.kinds)


def _quota(
    site: ProvisioningContext, subject: str, code: str, workers: int, web: int, *, lifecycle: str
) -> Finding:
    quotas: Any = site.session.client("service-quotas")
    with translating("servicequotas", f"the quota {code}"):
        answer = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)
    allowed = int(answer["Quota"]["Value"])
    used = _used_by_others(site, lifecycle)
    parts = [f"{site.options.capacity} workers need {workers}"] if workers else []
    parts += [f"the web tier needs {web}"] if web else []
    text = f"{allowed} vCPUs are allowed, others use {used} of them, {', '.join(parts)}"
    free, needed = allowed - used, workers + web
    if free >= needed:
        return Finding(subject, ok=True, text=text)
    fit = max(0, free - web) * site.options.capacity // workers if workers else 0
    return Finding(
        subject,
        ok=False,
        text=f"{text}; {fit} of these workers fit" if workers else text,
        remedy=f"Ask for {needed + used} at https://console.aws.amazon.com/servicequotas/ "
        f"({code}), or do with a smaller fleet (--max-workers).",
    )


def _used_by_others(site: ProvisioningContext, lifecycle: str) -> int:
    """The vCPUs of the account's other instances that are paid for in the same way."""
    ec2: Any = site.session.client("ec2")
    filters = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    used = 0
    request: dict[str, Any] = {"Filters": filters, "MaxResults": 1000}
    while True:
        with translating("ec2", "the account's instances"):
            page = ec2.describe_instances(**request)
        for reservation in page.get("Reservations", []):
            for one in reservation.get("Instances", []):
                ours = tag_map(one.get("Tags")).get(DEPLOYMENT_TAG) == site.names.deployment
                same = one.get("InstanceLifecycle", "") == lifecycle
                if same and not ours and _STANDARD.fullmatch(one["InstanceType"]):
                    used += _vcpus_of(one)
        if not page.get("NextToken"):
            return used
        request["NextToken"] = page["NextToken"]


def _vcpus_of(instance: dict[str, Any]) -> int:
    cpu = instance.get("CpuOptions") or {}
    known = int(cpu.get("CoreCount", 0)) * int(cpu.get("ThreadsPerCore", 0))
    return known or vcpus(instance["InstanceType"])


def provision_actions(place: Place) -> dict[tuple[str, ...], str]:
    """What `provision`, `bake` and `teardown` call: the resources, and the actions on them."""
    names = place.names
    roles = [names.worker_role(place.region), names.web_role(place.region)]
    return {
        ("*",): """ec2:DescribeLaunchTemplates ec2:DescribeLaunchTemplateVersions
            ec2:DescribeSecurityGroups ec2:DescribeInstances ec2:DescribeSubnets
            ec2:DescribeImages ec2:DescribeSnapshots ec2:DescribeVolumes sqs:ListQueues""",
        (place.ec2("launch-template/lt-0"),): """ec2:CreateLaunchTemplate
            ec2:CreateLaunchTemplateVersion ec2:ModifyLaunchTemplate ec2:DeleteLaunchTemplate
            ec2:CreateTags""",
        (place.ec2("security-group/sg-0"),): """ec2:CreateSecurityGroup ec2:DeleteSecurityGroup
            ec2:AuthorizeSecurityGroupIngress ec2:RevokeSecurityGroupIngress ec2:CreateTags""",
        (place.ec2("instance/i-0"),): "ec2:RunInstances ec2:TerminateInstances ec2:CreateImage",
        (place.ec2("volume/vol-0"),): "ec2:DeleteVolume",
        (place.ec2("image/ami-0", owned=False),): "ec2:DeregisterImage",
        (place.ec2("snapshot/snap-0", owned=False),): "ec2:DeleteSnapshot",
        tuple(place.role(one) for one in roles): """iam:CreateRole iam:GetRole iam:TagRole
            iam:DeleteRole iam:PutRolePolicy iam:DeleteRolePolicy iam:ListRolePolicies
            iam:ListAttachedRolePolicies iam:DetachRolePolicy iam:UpdateAssumeRolePolicy
            iam:PassRole""",
        tuple(place.profile(one) for one in roles): """iam:CreateInstanceProfile
            iam:GetInstanceProfile iam:TagInstanceProfile iam:DeleteInstanceProfile
            iam:AddRoleToInstanceProfile iam:RemoveRoleFromInstanceProfile""",
        (place.bucket(place.inputs), place.bucket(place.outputs)): """s3:CreateBucket
            s3:DeleteBucket s3:ListBucket s3:ListBucketVersions s3:ListBucketMultipartUploads
            s3:GetBucketTagging s3:PutBucketTagging s3:PutBucketPublicAccessBlock
            s3:PutBucketPolicy s3:PutEncryptionConfiguration s3:PutLifecycleConfiguration""",
        (
            place.bucket(place.inputs, f"{IMAGES_PREFIX}x"),
            place.bucket(place.outputs, f"{INSTALL_PREFIX}x"),
        ): "s3:GetObject s3:PutObject s3:DeleteObject s3:DeleteObjectVersion "
        "s3:AbortMultipartUpload",
        (
            place.queue(names.requests),
            place.queue(names.dead_letters),
        ): """sqs:CreateQueue sqs:DeleteQueue sqs:GetQueueUrl sqs:GetQueueAttributes
            sqs:SetQueueAttributes sqs:ListQueueTags sqs:TagQueue""",
        (
            f"arn:{place.partition}:ssm:{place.region}::parameter{IMAGE_PARAMETER}",
        ): "ssm:GetParameter ssm:GetParameters",
    }


def submit_actions(place: Place) -> dict[tuple[str, ...], str]:
    """What `submit` calls on a laptop: what the web tier does, for it brings a controller."""
    found: dict[tuple[str, ...], str] = defaultdict(str)
    for statement in web_statements(place):
        if statement.actions != SESSION_MANAGER:
            arns = tuple(re.sub(r"(?<=.)\*$", "x", one) for one in statement.resources)
            found[arns] += " " + " ".join(statement.actions)
    return dict(found)


def check_permissions(site: ProvisioningContext) -> Iterator[Finding]:
    """Look whether everything is allowed that is called."""
    who = _principal(site)
    if who.endswith(":root"):
        yield Finding("permissions", ok=True, text="this is the account's root user")
        return
    place = Place(site.names, site.account, site.region)
    for subject, wanted in (
        ("permissions", provision_actions(place)),
        ("to submit", submit_actions(place)),
    ):
        try:
            denied = _denied(site, who, wanted)
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
            yield Finding(subject, ok=False, text=text, remedy="Allow these actions.")
        else:
            count = len({one for actions in wanted.values() for one in actions.split()})
            yield Finding(subject, ok=True, text=f"all {count} actions are allowed to {who}")


def _denied(
    site: ProvisioningContext, who: str, wanted: Mapping[tuple[str, ...], str]
) -> list[str]:
    """The actions that are not allowed, each with a resource on which it is not."""
    iam: Any = site.session.client("iam")
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in _context(site).items()
    ]
    denied: dict[str, None] = {}
    with translating("iam", who):
        for arns, text in wanted.items():
            actions = list(dict.fromkeys(text.split()))
            for start in range(0, len(actions), _ACTIONS_A_CALL):
                answer = iam.simulate_principal_policy(
                    PolicySourceArn=who,
                    ActionNames=actions[start : start + _ACTIONS_A_CALL],
                    ResourceArns=list(arns),
                    ContextEntries=context,
                )
                for one in answer["EvaluationResults"]:
                    if one["EvalDecision"] != "allowed":
                        where = one.get("EvalResourceName", "*")
                        on = "" if where == "*" else f" on {where}"
                        denied[f"{one['EvalActionName']}{on}"] = None
    return list(denied)


def _context(site: ProvisioningContext) -> dict[str, str]:
    return _CONTEXT | {
        "aws:RequestedRegion": site.region,
        "aws:SecureTransport": "true",
        "s3:ResourceAccount": site.account,
        "aws:ResourceAccount": site.account,
    }


def _principal(site: ProvisioningContext) -> str:
    """Who asks, as a policy source: the role behind an assumed one."""
    sts: Any = site.session.client("sts")
    with translating("sts", "who asks"):
        arn = str(sts.get_caller_identity()["Arn"])
    assumed = re.fullmatch(r"arn:([a-z-]+):sts::(\d+):assumed-role/([^/]+)/.*", arn)
    if assumed is None:
        return arn
    iam: Any = site.session.client("iam")
    try:
        with translating("iam", f"the role {assumed[3]}"):
            # The ARN of the session leaves out the role's path, which roles of SSO have.
            return str(iam.get_role(RoleName=assumed[3])["Role"]["Arn"])
    except PermissionDeniedError:
        return f"arn:{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}"


def _dry_runs(site: ProvisioningContext) -> Iterator[Finding]:
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
