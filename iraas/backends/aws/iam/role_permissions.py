"""Permissions of the workers' and the web tier's roles, each with its purpose.

`tests/functional/aws/test_iam_policies.py` compares them with the actual calls: no called action is
missing, and no granted one lacks a use or a reason.
"""

from iraas.backends.aws.iam.policies import DeploymentArns, Statement
from iraas.backends.aws.names import (
    DEPLOYMENT_TAG,
    IMAGES_PREFIX,
    INSTALL_PREFIX,
    OUTCOMES_PREFIX,
    RECORDS_PREFIX,
    WEB_PREFIX,
)
from iraas.core.keys import WORKERS

IMAGE_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
"""The latest Amazon Linux 2023 (https://docs.aws.amazon.com/linux/al2023/ug/ec2.html)."""

ATTEMPTS_PREFIX = "attempts/"
"""Records of attempts; see `iraas.core.keys`. A worker can access these and its own state, and no
other records: images are untrusted, and a compromised worker must not reach the launch ledger, the
lease, the budget or the webhook targets."""

SESSION_MANAGER = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
"""Actions of the Session Manager agent
(https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-getting-started-instance-profile.html)."""


def worker_statements(arns: DeploymentArns) -> list[Statement]:
    """Permissions of a worker. It cannot launch, terminate or list instances."""
    names = arns.names
    return [
        Statement(
            "receive requests, extend their leases, delete them, and count the waiting ones",
            (
                "sqs:GetQueueUrl",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:ChangeMessageVisibility",
            ),
            (arns.queue(names.requests),),
        ),
        Statement(
            "send unreadable requests to the dead letters, and reply to requesters",
            ("sqs:GetQueueUrl", "sqs:SendMessage"),
            (arns.queue(names.dead_letters), arns.queue(f"{names.reply_prefix}*")),
        ),
        *_data_statements(arns),
        Statement(
            "record, count and clear the attempts of an image that is processed alone",
            ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
            (arns.bucket(arns.outputs, f"{RECORDS_PREFIX}{ATTEMPTS_PREFIX}*"),),
            _in_account(arns),
        ),
        Statement(
            "report its state",
            ("s3:PutObject",),
            (arns.bucket(arns.outputs, f"{RECORDS_PREFIX}{WORKERS}*"),),
            _in_account(arns),
        ),
        Statement(
            "download the wheel and the model bundle at startup",
            ("s3:GetObject",),
            (arns.bucket(arns.outputs, f"{INSTALL_PREFIX}*"),),
            _in_account(arns),
        ),
        Statement(
            "report that an AMI is installed",
            ("s3:PutObject",),
            (arns.bucket(arns.outputs, f"{INSTALL_PREFIX}baked/*"),),
            _in_account(arns),
        ),
    ]


def web_statements(arns: DeploymentArns) -> list[Statement]:
    """Permissions of the web tier: those of a requester and of a controller."""
    return [
        *_data_statements(arns),
        *_web_data_statements(arns),
        *_web_queue_statements(arns),
        *_launch_statements(arns),
        *_watch_statements(arns),
        Statement(
            "let its owner connect through Session Manager, without an open port",
            SESSION_MANAGER,
            ("*",),
        ),
    ]


def _web_data_statements(arns: DeploymentArns) -> list[Statement]:
    return [
        Statement(
            "store the records: jobs, decisions, the lease, the launch ledger",
            ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
            (arns.bucket(arns.outputs, f"{RECORDS_PREFIX}*"),),
            _in_account(arns),
        ),
        Statement(
            "delete jobs, and delete failed outcomes before a retry",
            ("s3:DeleteObject",),
            (
                arns.bucket(arns.inputs, f"{IMAGES_PREFIX}*"),
                arns.bucket(arns.outputs, f"{OUTCOMES_PREFIX}*"),
            ),
            _in_account(arns),
        ),
        Statement(
            "read the fleet configuration, and install itself",
            ("s3:GetObject",),
            (arns.bucket(arns.outputs, f"{INSTALL_PREFIX}*"),),
            _in_account(arns),
        ),
        Statement(
            "publish its token to its owner",
            ("s3:PutObject",),
            (arns.bucket(arns.outputs, f"{WEB_PREFIX}token"),),
            _in_account(arns),
        ),
    ]


def _web_queue_statements(arns: DeploymentArns) -> list[Statement]:
    names = arns.names
    return [
        Statement(
            "send requests, and count the waiting ones",
            ("sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SendMessage"),
            (arns.queue(names.requests),),
        ),
        Statement(
            "write outcomes of dead letters, and send them back with a note",
            (
                "sqs:GetQueueUrl",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:SendMessage",
            ),
            (arns.queue(names.dead_letters),),
        ),
        Statement(
            "create its own response queues, and delete abandoned ones",
            (
                "sqs:CreateQueue",
                "sqs:TagQueue",
                "sqs:ListQueueTags",
                "sqs:GetQueueUrl",
                "sqs:GetQueueAttributes",
                "sqs:SendMessage",
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:DeleteQueue",
            ),
            (arns.queue(f"{names.reply_prefix}*"),),
        ),
        Statement(
            "find abandoned response queues; SQS has no narrower permission for that",
            ("sqs:ListQueues",),
            ("*",),
        ),
    ]


def _data_statements(arns: DeploymentArns) -> list[Statement]:
    images_and_outcomes = (
        arns.bucket(arns.inputs, f"{IMAGES_PREFIX}*"),
        arns.bucket(arns.outputs, f"{OUTCOMES_PREFIX}*"),
    )
    return [
        Statement(
            "read images and outcomes",
            ("s3:GetObject",),
            images_and_outcomes,
            _in_account(arns),
        ),
        Statement(
            "store images and outcomes, but never overwrite one",
            ("s3:PutObject",),
            images_and_outcomes,
            _in_account(arns) | {"Null": {"s3:if-none-match": "false"}},
        ),
        Statement(
            "list; and get 404 instead of 403 for missing keys",
            ("s3:ListBucket",),
            (arns.bucket(arns.inputs), arns.bucket(arns.outputs)),
            _in_account(arns),
        ),
    ]


def _in_account(arns: DeploymentArns) -> dict[str, dict[str, str]]:
    """Restrict to this account's buckets: a bucket's name may be taken over by another account."""
    return {"StringEquals": {"s3:ResourceAccount": arns.account}}


def _launch_statements(arns: DeploymentArns) -> list[Statement]:
    """Launch this deployment's workers from its template, and nothing else."""
    tag_condition = _owned_by_deployment(arns)
    tagged = {"StringEquals": {f"aws:RequestTag/{DEPLOYMENT_TAG}": arns.names.deployment}}
    return [
        Statement(
            "launch from this deployment's template",
            ("ec2:RunInstances",),
            (arns.ec2("launch-template/*"),),
            tag_condition,
        ),
        Statement(
            "launch with this deployment's tags",
            ("ec2:RunInstances",),
            (arns.ec2("instance/*"), arns.ec2("volume/*")),
            tagged,
        ),
        Statement(
            "launch with the template's AMI and security group",
            ("ec2:RunInstances",),
            (
                arns.ec2("image/*", owned=False),
                arns.ec2("snapshot/*", owned=False),
                arns.ec2("security-group/*"),
            ),
            {"Bool": {"ec2:IsLaunchTemplateResource": "true"}},
        ),
        Statement(
            "launch into any subnet, by a Spot request of this account",
            ("ec2:RunInstances",),
            (
                arns.ec2("subnet/*"),
                arns.ec2("network-interface/*"),
                arns.ec2("spot-instances-request/*"),
            ),
        ),
        Statement(
            "tag instances and volumes at their launch",
            ("ec2:CreateTags",),
            (arns.ec2("instance/*"), arns.ec2("volume/*")),
            {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
        ),
    ]


def _watch_statements(arns: DeploymentArns) -> list[Statement]:
    """List instances, terminate the deployment's own, and what a launch needs besides EC2."""
    return [
        Statement(
            "terminate unresponsive workers",
            ("ec2:TerminateInstances",),
            (arns.ec2("instance/*"),),
            _owned_by_deployment(arns),
        ),
        Statement(
            "list instances; EC2 has no narrower permission for that",
            ("ec2:DescribeInstances",),
            ("*",),
        ),
        Statement(
            "pass the workers' role",
            ("iam:PassRole",),
            (arns.role(arns.names.worker_role(arns.region)),),
            {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        ),
        Statement(
            "look up the latest AMI at launch",
            ("ssm:GetParameters",),
            (f"arn:{arns.partition}:ssm:{arns.region}::parameter{IMAGE_PARAMETER}",),
        ),
    ]


def _owned_by_deployment(arns: DeploymentArns) -> dict[str, dict[str, str]]:
    return {"StringEquals": {f"aws:ResourceTag/{DEPLOYMENT_TAG}": arns.names.deployment}}
