"""Who may do what, as data. Pure.

Each statement says why it is needed. `tests/functional/aws` holds the policies to what is really
called: nothing called is missing, and nothing granted is without a use or a reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iraas.backends.aws.names import (
    DEPLOYMENT_TAG,
    IMAGES_PREFIX,
    INSTALL_PREFIX,
    OUTCOMES_PREFIX,
    RECORDS_PREFIX,
    Names,
)

ATTEMPTS = "attempts/"
"""The records that note attempts; see `iraas.core.keys`."""

IMAGE_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
"""The newest Amazon Linux 2023 (https://docs.aws.amazon.com/linux/al2023/ug/ec2.html)."""

VERSION = "2012-10-17"


@dataclass(frozen=True, slots=True)
class Statement:
    """A permission.

    Attributes:
        why: What it is needed for.
        actions: IAM actions, without wildcards.
        resources: ARNs.
        conditions: Conditions, as IAM writes them.
    """

    why: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The statement, as IAM writes it."""
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return statement | ({"Condition": self.conditions} if self.conditions else {})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deployment is, for its ARNs."""

    names: Names
    account: str
    region: str

    @property
    def partition(self) -> str:
        """The partition of the region."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def queue(self, name: str) -> str:
        """A queue's ARN."""
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{name}"

    def bucket(self, name: str, path: str = "") -> str:
        """A bucket's ARN, or that of objects in it."""
        return f"arn:{self.partition}:s3:::{name}" + (f"/{path}" if path else "")

    def ec2(self, resource: str, *, owned: bool = True) -> str:
        """The ARN of something of EC2; images and the like belong to no account."""
        account = self.account if owned else ""
        return f"arn:{self.partition}:ec2:{self.region}:{account}:{resource}"

    def role(self, name: str) -> str:
        """A role's ARN."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"

    @property
    def inputs(self) -> str:
        """The bucket of the input store."""
        return self.names.inputs_bucket(self.account, self.region)

    @property
    def outputs(self) -> str:
        """The bucket of the output store."""
        return self.names.outputs_bucket(self.account, self.region)


def trust_policy() -> dict[str, Any]:
    """Who may take a role: instances."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    return {"Version": VERSION, "Statement": [statement]}


def tls_only_policy(arns: Sequence[str], actions: str) -> dict[str, Any]:
    """A resource's own policy: nobody does anything without TLS.

    Args:
        arns: The resource, and what is in it.
        actions: All actions of the service, such as ``s3:*``. It only ever denies.
    """
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": actions,
        "Resource": list(arns),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": VERSION, "Statement": [statement]}


def worker_statements(place: Place) -> list[Statement]:
    """What a worker may do. It cannot launch, end or see any instance."""
    names = place.names
    return [
        Statement(
            "take requests, keep them leased, delete them, and see whether more wait",
            (
                "sqs:GetQueueUrl",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:ChangeMessageVisibility",
            ),
            (place.queue(names.requests),),
        ),
        Statement(
            "put what cannot be read aside, and answer requesters",
            ("sqs:GetQueueUrl", "sqs:SendMessage"),
            (place.queue(names.dead_letters), place.queue(f"{names.reply_prefix}*")),
        ),
        *_data_statements(place),
        Statement(
            "take back the note that an image is tried alone",
            ("s3:DeleteObject",),
            (place.bucket(place.outputs, f"{RECORDS_PREFIX}{ATTEMPTS}*"),),
        ),
        Statement(
            "start: fetch the wheel and the model bundle",
            ("s3:GetObject",),
            (place.bucket(place.outputs, f"{INSTALL_PREFIX}*"),),
        ),
        Statement(
            "say that an image has been baked",
            ("s3:PutObject",),
            (place.bucket(place.outputs, f"{INSTALL_PREFIX}baked/*"),),
        ),
    ]


def web_statements(place: Place) -> list[Statement]:
    """What the web tier may do: what a requester does, and what a controller does."""
    names = place.names
    return [
        *_data_statements(place),
        Statement(
            "know what to launch, and install itself",
            ("s3:GetObject",),
            (place.bucket(place.outputs, f"{INSTALL_PREFIX}*"),),
        ),
        Statement(
            "tidy the records, give the lease back, and forget failures that are tried again",
            ("s3:DeleteObject",),
            (
                place.bucket(place.outputs, f"{RECORDS_PREFIX}*"),
                place.bucket(place.outputs, f"{OUTCOMES_PREFIX}*"),
            ),
        ),
        Statement(
            "send requests, and see how many wait",
            ("sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SendMessage"),
            (place.queue(names.requests),),
        ),
        Statement(
            "give dead letters their outcomes, and put them back with a remark",
            (
                "sqs:GetQueueUrl",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:SendMessage",
            ),
            (place.queue(names.dead_letters),),
        ),
        Statement(
            "have response queues of its own, and sweep those that nobody reads",
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
            (place.queue(f"{names.reply_prefix}*"),),
        ),
        Statement(
            "find response queues to sweep; SQS knows no narrower permission for that",
            ("sqs:ListQueues",),
            ("*",),
        ),
        *_launch_statements(place),
        Statement(
            "let its owner reach it through Session Manager, without any open port",
            (
                "ssm:UpdateInstanceInformation",
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ),
            ("*",),
        ),
    ]


def _data_statements(place: Place) -> list[Statement]:
    return [
        Statement(
            "read and write images, outcomes and records",
            ("s3:GetObject", "s3:PutObject"),
            (
                place.bucket(place.inputs, f"{IMAGES_PREFIX}*"),
                place.bucket(place.outputs, f"{OUTCOMES_PREFIX}*"),
                place.bucket(place.outputs, f"{RECORDS_PREFIX}*"),
            ),
        ),
        Statement(
            "list; and be told 404, not 403, of what is not there",
            ("s3:ListBucket",),
            (place.bucket(place.inputs), place.bucket(place.outputs)),
        ),
    ]


def _launch_statements(place: Place) -> list[Statement]:
    """Launch and end workers of this deployment, from its template, and nothing else."""
    ours = {"StringEquals": {f"aws:ResourceTag/{DEPLOYMENT_TAG}": place.names.deployment}}
    tagged = {"StringEquals": {f"aws:RequestTag/{DEPLOYMENT_TAG}": place.names.deployment}}
    return [
        Statement(
            "launch from this deployment's template",
            ("ec2:RunInstances",),
            (place.ec2("launch-template/*"),),
            ours,
        ),
        Statement(
            "launch what is tagged as this deployment's",
            ("ec2:RunInstances",),
            (place.ec2("instance/*"), place.ec2("volume/*")),
            tagged,
        ),
        Statement(
            "launch with what the template says",
            ("ec2:RunInstances",),
            (
                place.ec2("image/*", owned=False),
                place.ec2("snapshot/*", owned=False),
                place.ec2("security-group/*"),
            ),
            {"Bool": {"ec2:IsLaunchTemplateResource": "true"}},
        ),
        Statement(
            "launch into any subnet, by a Spot request of this account",
            ("ec2:RunInstances",),
            (
                place.ec2("subnet/*"),
                place.ec2("network-interface/*"),
                place.ec2("spot-instances-request/*"),
            ),
        ),
        Statement(
            "tag what is launched, while it is launched",
            ("ec2:CreateTags",),
            (place.ec2("instance/*"), place.ec2("volume/*")),
            {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
        ),
        Statement(
            "end workers that fell silent",
            ("ec2:TerminateInstances",),
            (place.ec2("instance/*"),),
            ours,
        ),
        Statement(
            "see instances; EC2 knows no narrower permission for that",
            ("ec2:DescribeInstances",),
            ("*",),
        ),
        Statement(
            "give the workers their role",
            ("iam:PassRole",),
            (place.role(place.names.worker_role(place.region)),),
            {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        ),
        Statement(
            "look up the newest image while launching",
            ("ssm:GetParameters",),
            (f"arn:{place.partition}:ssm:{place.region}::parameter{IMAGE_PARAMETER}",),
        ),
    ]


def policy_document(statements: Sequence[Statement]) -> dict[str, Any]:
    """The policy, as IAM writes it."""
    return {"Version": VERSION, "Statement": [one.to_json() for one in statements]}


def to_text(policy: Mapping[str, Any]) -> str:
    """A policy as the text that the services want; the same policy always gives the same text."""
    return json.dumps(policy, sort_keys=True)
