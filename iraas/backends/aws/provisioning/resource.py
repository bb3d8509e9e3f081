"""Common types of all provisioned resources."""

import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from iraas.backends.aws.errors import error_code
from iraas.backends.aws.fleet.config import FleetConfig
from iraas.backends.aws.iam.policies import DeploymentArns
from iraas.backends.aws.names import DEPLOYMENT_TAG, Names
from iraas.backends.aws.session import AwsSession
from iraas.errors import ConfigurationError, WaitTimeoutError

State = Literal["absent", "managed", "unmanaged"]
Result = TypeVar("Result")
CONSISTENCY_TIMEOUT_S = 60.0
CONSISTENCY_POLL_S = 2.0
"""AWS is eventually consistent: for this long, an error about a recent change is retried."""


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """Existence and ownership of a resource.

    Attributes:
        state: ``absent``, ``managed``, or ``unmanaged``: it has the name but not the deployment's
            tag, and is never changed.
        detail: Further information for display.
    """

    state: State
    detail: str = ""


ABSENT = ResourceStatus("absent")


class ManagedResource(Protocol):
    """A resource of a deployment, named after the deployment."""

    @property
    def kind(self) -> str:
        """Its type, for display."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def find(self) -> ResourceStatus:
        """Return its status."""
        ...

    def make(self) -> None:
        """Create or update it. Idempotent."""
        ...

    def remove(self) -> None:
        """Remove it if it is managed. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class ProvisioningContext:
    """Session, names and configuration shared by the resources of a deployment.

    Attributes:
        session: Makes the AWS calls.
        names: The deployment's resource names.
        config: The fleet configuration.
        report: Called with progress messages.
        sleep: Waits for a number of seconds.
        clock: Monotonic clock, in seconds.
    """

    session: AwsSession
    names: Names
    config: FleetConfig
    report: Callable[[str], None] = lambda _: None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    @property
    def region(self) -> str:
        """The region."""
        return self.session.region

    @property
    def account(self) -> str:
        """The account's id."""
        return self.session.account()

    @property
    def arns(self) -> DeploymentArns:
        """The ARNs of the deployment's resources."""
        return DeploymentArns(self.names, self.account, self.region)

    @property
    def ec2(self) -> Any:
        """The EC2 client."""
        return self.session.client("ec2")

    @property
    def iam(self) -> Any:
        """The IAM client."""
        return self.session.client("iam")

    @property
    def s3(self) -> Any:
        """The S3 client."""
        return self.session.client("s3")

    @property
    def sqs(self) -> Any:
        """The SQS client."""
        return self.session.client("sqs")

    @property
    def inputs_bucket(self) -> str:
        """Name of the input store's bucket."""
        return self.names.inputs_bucket(self.account, self.region)

    @property
    def outputs_bucket(self) -> str:
        """Name of the bucket of the output store, the records and the install files."""
        return self.names.outputs_bucket(self.account, self.region)

    @property
    def worker_role(self) -> str:
        """Name of the workers' role."""
        return self.names.worker_role(self.region)

    @property
    def web_role(self) -> str:
        """Name of the web tier's role."""
        return self.names.web_role(self.region)

    def tags(self, role: str) -> list[dict[str, str]]:
        """A resource's tags, in the format of most services."""
        return [{"Key": key, "Value": value} for key, value in self.names.tags(role).items()]

    def status_of(self, tags: Mapping[str, str], detail: str = "") -> ResourceStatus:
        """Derive the status of an existing resource from its tags.

        Args:
            tags: Its tags.
            detail: Its detail if it is managed.
        """
        if tags.get(DEPLOYMENT_TAG) == self.names.deployment:
            return ResourceStatus("managed", detail)
        return ResourceStatus(
            "unmanaged", f"it has no tag {DEPLOYMENT_TAG}={self.names.deployment}"
        )

    def wait(
        self, done: Callable[[], bool], what: str, *, timeout_s: float, poll_interval_s: float
    ) -> None:
        """Poll until a condition holds.

        Args:
            done: The condition.
            what: The awaited change, for the error message.
            timeout_s: Time limit, in seconds.
            poll_interval_s: Time between two polls, in seconds.

        Raises:
            WaitTimeoutError: It does not hold in time.
        """
        deadline = self.clock() + timeout_s
        while not done():
            if self.clock() >= deadline:
                raise WaitTimeoutError(
                    f"{what} took longer than {timeout_s:.0f} s",
                    remedy="Run the command again: it continues where this one stopped.",
                )
            self.sleep(poll_interval_s)

    def retry_until_consistent(self, call: Callable[[], Result], codes: Container[str]) -> Result:
        """Retry a call until AWS knows a recent change, for up to `CONSISTENCY_TIMEOUT_S`.

        Args:
            call: The call; idempotent.
            codes: Error codes of a service that does not know the change yet.
        """
        deadline = self.clock() + CONSISTENCY_TIMEOUT_S
        while True:
            try:
                return call()
            except Exception as exc:
                if error_code(exc) not in codes or self.clock() >= deadline:
                    raise
            self.sleep(CONSISTENCY_POLL_S)


def tag_map(tags: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """Convert tags from the list format of most services to a dictionary."""
    return {str(tag["Key"]): str(tag["Value"]) for tag in tags or ()}


def refuse_unmanaged(resource: ManagedResource, status: ResourceStatus) -> None:
    """Raise before an unmanaged resource would be changed.

    Raises:
        ConfigurationError: It is unmanaged.
    """
    if status.state == "unmanaged":
        raise ConfigurationError(
            f"the {resource.kind} {resource.name} exists, but this deployment did not create it: "
            f"{status.detail}",
            remedy="Choose another deployment name with --deployment, or remove it manually.",
        )
