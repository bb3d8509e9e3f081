"""IAM policies as data: statements, resource ARNs and policy documents."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iraas.backends.aws.names import Names

VERSION = "2012-10-17"


@dataclass(frozen=True, slots=True)
class Statement:
    """An IAM permission.

    Attributes:
        why: Its purpose.
        actions: IAM actions, without wildcards.
        resources: ARNs.
        conditions: Conditions in IAM's format.
    """

    why: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The statement in IAM's format."""
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return statement | ({"Condition": self.conditions} if self.conditions else {})


@dataclass(frozen=True, slots=True)
class DeploymentArns:
    """Builds the ARNs of a deployment's resources."""

    names: Names
    account: str
    region: str

    @property
    def partition(self) -> str:
        """The region's partition."""
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
        """The ARN of an EC2 resource; AMIs and snapshots have no account (not `owned`)."""
        account = self.account if owned else ""
        return f"arn:{self.partition}:ec2:{self.region}:{account}:{resource}"

    def role(self, name: str) -> str:
        """A role's ARN."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"

    def profile(self, name: str) -> str:
        """An instance profile's ARN."""
        return f"arn:{self.partition}:iam::{self.account}:instance-profile/{name}"

    @property
    def inputs(self) -> str:
        """Name of the input store's bucket."""
        return self.names.inputs_bucket(self.account, self.region)

    @property
    def outputs(self) -> str:
        """Name of the output store's bucket."""
        return self.names.outputs_bucket(self.account, self.region)


def trust_policy() -> dict[str, Any]:
    """The trust policy of a role for EC2 instances."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    return {"Version": VERSION, "Statement": [statement]}


def tls_only_policy(arns: Sequence[str], actions: str) -> dict[str, Any]:
    """A resource policy that denies all access without TLS.

    Args:
        arns: The resource and its contents.
        actions: All actions of the service, such as ``s3:*``. They are only ever denied.
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


def queue_policy(arns: DeploymentArns, name: str) -> str:
    """A queue's TLS-only resource policy, as text."""
    return to_text(tls_only_policy([arns.queue(name)], "sqs:*"))


def policy_document(statements: Sequence[Statement]) -> dict[str, Any]:
    """A policy document in IAM's format."""
    return {"Version": VERSION, "Statement": [statement.to_json() for statement in statements]}


def to_text(policy: Mapping[str, Any]) -> str:
    """A policy as canonical JSON text: equal policies give equal texts."""
    return json.dumps(policy, sort_keys=True)
