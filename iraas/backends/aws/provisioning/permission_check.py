"""Whether whoever runs the command may do what it takes: simulated by IAM, on the real ARNs."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from iraas.backends.aws.errors import code_of, translating
from iraas.backends.aws.iam.policies import Place
from iraas.backends.aws.iam.role_permissions import IMAGE_PARAMETER, SESSION_MANAGER, web_statements
from iraas.backends.aws.names import IMAGES_PREFIX, INSTALL_PREFIX
from iraas.backends.aws.provisioning.findings import Finding
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.errors import IraasError, PermissionDeniedError

_ACTIONS_A_CALL = 50
_CONTEXT = {"iam:PassedToService": "ec2.amazonaws.com"}


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
