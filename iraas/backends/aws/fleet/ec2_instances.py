"""A deployment's EC2 instances: listed by tag, or looked up by id."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from iraas.backends.aws.errors import error_code, translate_errors
from iraas.backends.aws.names import DEPLOYMENT_TAG, ROLE_TAG
from iraas.core.ports import Instance, InstanceState

INSTANCE_ROLES = ("worker", "web", "builder")
"""Values of the instances' role tag."""
LIVE_STATES = ("pending", "running", "shutting-down", "stopping", "stopped")
"""All states but terminated: such an instance exists and may incur costs."""

_STATES = {
    "pending": InstanceState.BOOTING,
    "running": InstanceState.RUNNING,
    "shutting-down": InstanceState.STOPPING,
    "stopping": InstanceState.STOPPING,
    "stopped": InstanceState.STOPPING,
}
_MAX_FILTER_VALUES = 200
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html"""
_GONE = ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed")


class Ec2Client(Protocol):
    """The EC2 client calls that a fleet makes; `FakeEc2` implements them too."""

    def run_instances(self, *args: Any, **kwargs: Any) -> Any:
        """Launch instances."""
        ...

    def describe_instances(self, *args: Any, **kwargs: Any) -> Any:
        """List instances."""
        ...

    def terminate_instances(self, *args: Any, **kwargs: Any) -> Any:
        """Terminate instances."""
        ...


@dataclass(frozen=True, slots=True)
class ListedInstance:
    """An instance as DescribeInstances returns it.

    Attributes:
        instance_id: Its id.
        state: EC2's name of its state.
        launched_at: Launch time, in seconds since the epoch.
        instance_type: Its type.
        pricing: ``spot`` or ``on-demand``.
        token: The client token of its launch.
        tags: Its tags.
    """

    instance_id: str
    state: str
    launched_at: float
    instance_type: str
    pricing: str
    token: str
    tags: Mapping[str, str]

    @property
    def live(self) -> bool:
        """True unless the instance is terminated."""
        return self.state in LIVE_STATES

    def to_instance(self) -> Instance:
        """Convert a live instance to the port's type."""
        return Instance(
            self.instance_id,
            _STATES[self.state],
            self.launched_at,
            self.instance_type,
            self.pricing,
            self.tags.get(ROLE_TAG, "worker"),
        )


def list_instances(
    client: Ec2Client, deployment: str, roles: Sequence[str] = ()
) -> list[ListedInstance]:
    """List the deployment's instances by tag, including those terminated within about an hour.

    Args:
        client: The EC2 client.
        deployment: The deployment's name.
        roles: Role tags to include; empty for all.

    Raises:
        PermissionDeniedError, BackendError: EC2 cannot be read.
    """
    filters: list[dict[str, Any]] = [{"Name": f"tag:{DEPLOYMENT_TAG}", "Values": [deployment]}]
    if roles:
        filters.append({"Name": f"tag:{ROLE_TAG}", "Values": list(roles)})
    with translate_errors("ec2", "the deployment's instances"):
        return list(_pages(client, {"Filters": filters, "MaxResults": 1000}))


def find_instance(client: Ec2Client, instance_id: str) -> ListedInstance | None:
    """Look up one instance by id; see `find_instances`."""
    return next(iter(find_instances(client, [instance_id])), None)


def find_instances(client: Ec2Client, instance_ids: Sequence[str]) -> list[ListedInstance]:
    """Look up instances by id, whatever their tags. Unknown ids are left out.

    An id may be unknown because the instance is too new, or was terminated long ago.

    Args:
        client: The EC2 client.
        instance_ids: The ids; EC2 takes up to 200 per call.

    Raises:
        PermissionDeniedError, BackendError: EC2 cannot be read.
    """
    found: list[ListedInstance] = []
    for start in range(0, len(instance_ids), _MAX_FILTER_VALUES):
        ids = list(instance_ids[start : start + _MAX_FILTER_VALUES])
        # With InstanceIds instead of a filter, one unknown id would fail the whole call.
        filters = [{"Name": "instance-id", "Values": ids}]
        with translate_errors("ec2", f"the instances {', '.join(ids[:3])}"):
            found += _pages(client, {"Filters": filters, "MaxResults": 1000})
    return found


def terminate_instances(client: Ec2Client, instance_ids: Sequence[str]) -> None:
    """Terminate instances. Idempotent; ids unknown to EC2 are ignored.

    Args:
        client: The EC2 client.
        instance_ids: The ids; none makes no call.

    Raises:
        PermissionDeniedError, BackendError: Some may have been terminated.
    """
    if not instance_ids:
        return
    with translate_errors("ec2", f"the instances {', '.join(instance_ids)}"):
        try:
            client.terminate_instances(InstanceIds=list(instance_ids))
        except Exception as exc:
            if not is_unknown_instance(exc):
                raise
            # One unknown instance makes EC2 reject the whole call.
            separately = list(instance_ids) if len(instance_ids) > 1 else []
            for instance_id in separately:
                terminate_instances(client, [instance_id])


def is_unknown_instance(exc: Exception) -> bool:
    """Return whether an error means that EC2 does not know an instance."""
    return error_code(exc) in _GONE


def _pages(client: Ec2Client, request: dict[str, Any]) -> Iterator[ListedInstance]:
    while True:
        response = client.describe_instances(**request)
        for reservation in response.get("Reservations", []):
            for instance in reservation.get("Instances", []):
                yield _listed(instance)
        if not response.get("NextToken"):
            return
        request = {**request, "NextToken": response["NextToken"]}


def _listed(instance: Mapping[str, Any]) -> ListedInstance:
    return ListedInstance(
        instance_id=instance["InstanceId"],
        state=instance["State"]["Name"],
        launched_at=instance["LaunchTime"].timestamp(),
        instance_type=instance["InstanceType"],
        pricing="spot" if instance.get("InstanceLifecycle") == "spot" else "on-demand",
        token=instance.get("ClientToken", ""),
        tags={tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])},
    )
