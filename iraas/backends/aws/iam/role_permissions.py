"""What workers and the web tier may do, each right with the reason why. Pure.

`tests/functional/aws/test_iam_policies.py` holds this to what is really called: nothing called is
missing, and nothing granted is without a use or a reason.
"""

from iraas.backends.aws.iam.policies import Place, Statement
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
"""The newest Amazon Linux 2023 (https://docs.aws.amazon.com/linux/al2023/ug/ec2.html)."""

ATTEMPTS = "attempts/"
"""The records that note attempts; see `iraas.core.keys`. Of all records a worker has these and
what it says of itself: pictures are hostile, and a worker that one has taken over must not reach
the ledger of launches, the lease, the limit on spending, or where webhooks go."""

SESSION_MANAGER = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
"""What the agent of Session Manager calls
(https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-getting-started-instance-profile.html)."""


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
            "note that an image is tried alone, look how often it was, take the note back",
            ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
            (place.bucket(place.outputs, f"{RECORDS_PREFIX}{ATTEMPTS}*"),),
            _in_account(place),
        ),
        Statement(
            "say what it is doing",
            ("s3:PutObject",),
            (place.bucket(place.outputs, f"{RECORDS_PREFIX}{WORKERS}*"),),
            _in_account(place),
        ),
        Statement(
            "start: fetch the wheel and the model bundle",
            ("s3:GetObject",),
            (place.bucket(place.outputs, f"{INSTALL_PREFIX}*"),),
            _in_account(place),
        ),
        Statement(
            "say that an image has been baked",
            ("s3:PutObject",),
            (place.bucket(place.outputs, f"{INSTALL_PREFIX}baked/*"),),
            _in_account(place),
        ),
    ]


def web_statements(place: Place) -> list[Statement]:
    """What the web tier may do: what a requester does, and what a controller does."""
    return [
        *_data_statements(place),
        *_web_data_statements(place),
        *_web_queue_statements(place),
        *_launch_statements(place),
        *_watch_statements(place),
        Statement(
            "let its owner reach it through Session Manager, without any open port",
            SESSION_MANAGER,
            ("*",),
        ),
    ]


def _web_data_statements(place: Place) -> list[Statement]:
    return [
        Statement(
            "keep the records: jobs, decisions, the lease, the ledger of launches",
            ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
            (place.bucket(place.outputs, f"{RECORDS_PREFIX}*"),),
            _in_account(place),
        ),
        Statement(
            "delete jobs, and forget failures that are tried again",
            ("s3:DeleteObject",),
            (
                place.bucket(place.inputs, f"{IMAGES_PREFIX}*"),
                place.bucket(place.outputs, f"{OUTCOMES_PREFIX}*"),
            ),
            _in_account(place),
        ),
        Statement(
            "know what to launch, and install itself",
            ("s3:GetObject",),
            (place.bucket(place.outputs, f"{INSTALL_PREFIX}*"),),
            _in_account(place),
        ),
        Statement(
            "tell its token to its owner",
            ("s3:PutObject",),
            (place.bucket(place.outputs, f"{WEB_PREFIX}token"),),
            _in_account(place),
        ),
    ]


def _web_queue_statements(place: Place) -> list[Statement]:
    names = place.names
    return [
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
    ]


def _data_statements(place: Place) -> list[Statement]:
    images_and_outcomes = (
        place.bucket(place.inputs, f"{IMAGES_PREFIX}*"),
        place.bucket(place.outputs, f"{OUTCOMES_PREFIX}*"),
    )
    return [
        Statement(
            "read images and outcomes",
            ("s3:GetObject",),
            images_and_outcomes,
            _in_account(place),
        ),
        Statement(
            "store images and outcomes, each only where none is: nobody changes another's",
            ("s3:PutObject",),
            images_and_outcomes,
            _in_account(place) | {"Null": {"s3:if-none-match": "false"}},
        ),
        Statement(
            "list; and be told 404, not 403, of what is not there",
            ("s3:ListBucket",),
            (place.bucket(place.inputs), place.bucket(place.outputs)),
            _in_account(place),
        ),
    ]


def _in_account(place: Place) -> dict[str, dict[str, str]]:
    """In this account's buckets only: a bucket's name may become somebody else's."""
    return {"StringEquals": {"s3:ResourceAccount": place.account}}


def _launch_statements(place: Place) -> list[Statement]:
    """Launch workers of this deployment, from its template, and nothing else."""
    ours = _ours(place)
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
    ]


def _watch_statements(place: Place) -> list[Statement]:
    """See instances, end those of this deployment, and what a launch needs besides EC2."""
    return [
        Statement(
            "end workers that fell silent",
            ("ec2:TerminateInstances",),
            (place.ec2("instance/*"),),
            _ours(place),
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


def _ours(place: Place) -> dict[str, dict[str, str]]:
    return {"StringEquals": {f"aws:ResourceTag/{DEPLOYMENT_TAG}": place.names.deployment}}
