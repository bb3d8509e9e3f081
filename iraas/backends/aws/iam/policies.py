"""IAM policies as data: statements, the ARNs they speak of, and the documents. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iraas.backends.aws.names import Names

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

    def profile(self, name: str) -> str:
        """An instance profile's ARN."""
        return f"arn:{self.partition}:iam::{self.account}:instance-profile/{name}"

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


def queue_policy(place: Place, name: str) -> str:
    """A queue's own policy as text: TLS only."""
    return to_text(tls_only_policy([place.queue(name)], "sqs:*"))


def policy_document(statements: Sequence[Statement]) -> dict[str, Any]:
    """The policy, as IAM writes it."""
    return {"Version": VERSION, "Statement": [one.to_json() for one in statements]}


def to_text(policy: Mapping[str, Any]) -> str:
    """A policy as the text that the services want; the same policy always gives the same text."""
    return json.dumps(policy, sort_keys=True)
