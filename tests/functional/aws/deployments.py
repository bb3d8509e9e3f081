"""Fresh deployments for tests, at any endpoint."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import pytest
from botocore.loaders import create_loader

from iraas.backends.aws.names import IMAGES_PREFIX, OUTCOMES_PREFIX, RECORDS_PREFIX, Names
from iraas.backends.aws.queues.response_queues import SqsResponseQueues
from iraas.backends.aws.queues.sqs_queue import SqsQueue
from iraas.backends.aws.retries import Retries
from iraas.backends.aws.session import AwsSession, ClientLimits
from iraas.backends.aws.storage.controller_lease import S3ControllerLease
from iraas.backends.aws.storage.s3_store import S3Store

IMPATIENT = ClientLimits(attempts=4, connect_timeout_s=3.0, read_timeout_s=3.0)
HASTY = ClientLimits(attempts=2, connect_timeout_s=3.0, read_timeout_s=0.5)
"""For calls that never get a reply."""
QUICK = Retries(attempts=6, first_s=0.001, longest_s=0.01)
MAX_RECEIVES = 3
ENVIRONMENT: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Deployment:
    """A deployment with a request queue, a dead-letter queue and the two buckets."""

    session: AwsSession
    names: Names

    @property
    def requests(self) -> SqsQueue:
        return SqsQueue(self.session, self.names.requests, retries=QUICK)

    @property
    def dead_letters(self) -> SqsQueue:
        return SqsQueue(self.session, self.names.dead_letters, retries=QUICK)

    @property
    def responses(self) -> SqsResponseQueues:
        return SqsResponseQueues(self.session, self.names, retries=QUICK)

    @property
    def inputs(self) -> S3Store:
        return S3Store(self.session, self.inputs_bucket, IMAGES_PREFIX, retries=QUICK)

    @property
    def outputs(self) -> S3Store:
        return S3Store(self.session, self.outputs_bucket, OUTCOMES_PREFIX, retries=QUICK)

    @property
    def records(self) -> S3Store:
        return S3Store(self.session, self.outputs_bucket, RECORDS_PREFIX, retries=QUICK)

    def inputs_bucket(self) -> str:
        return self.names.inputs_bucket(self.session.account(), self.session.region)

    def outputs_bucket(self) -> str:
        return self.names.outputs_bucket(self.session.account(), self.session.region)

    def allow_receives(self, count: int) -> None:
        """Set the number of receives after which a request becomes a dead letter."""
        sqs, name = self.session.sqs, self.names.requests
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
        policy = json.loads(answer["Attributes"]["RedrivePolicy"]) | {"maxReceiveCount": count}
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})

    def lease(self, holder_id: str) -> S3ControllerLease:
        return S3ControllerLease(self.session, self.outputs_bucket, RECORDS_PREFIX, holder_id)

    def seen_through(self, session: AwsSession) -> "Deployment":
        """The same deployment, reached another way."""
        return Deployment(session, self.names)


@contextmanager
def sdk_data_read_once() -> Iterator[None]:
    """Let all sessions share the service models: each would parse megabytes of JSON for itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", cache(create_loader))
        yield


@contextmanager
def fresh_session(endpoint: str, limits: ClientLimits | None = None) -> Iterator[AwsSession]:
    """A session at an endpoint, closed at the end."""
    session = AwsSession("us-east-1", endpoint_url=endpoint, limits=limits)
    try:
        yield session
    finally:
        session.close()


def fresh_deployment(session: AwsSession) -> Deployment:
    """Make a deployment under an unused name."""
    deployment = Deployment(session, Names(f"t{secrets.token_hex(6)}"))
    names, sqs = deployment.names, session.sqs
    dead_url = sqs.create_queue(QueueName=names.dead_letters)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])
    redrive = {
        "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
        "maxReceiveCount": MAX_RECEIVES,
    }
    sqs.create_queue(QueueName=names.requests, Attributes={"RedrivePolicy": json.dumps(redrive)})
    for bucket in (deployment.inputs_bucket(), deployment.outputs_bucket()):
        session.s3.create_bucket(Bucket=bucket)
    return deployment
