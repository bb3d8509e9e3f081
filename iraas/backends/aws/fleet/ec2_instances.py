"""What EC2 says of a deployment's instances: listed by tag, or asked for by id."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from iraas.backends.aws.errors import code_of, translating
from iraas.backends.aws.names import DEPLOYMENT_TAG, ROLE_TAG
from iraas.core.ports import Instance, InstanceState

ROLES = ("worker", "web", "builder")
"""The roles that instances have, by their tag."""
LIVE_STATES = ("pending", "running", "shutting-down", "stopping", "stopped")
"""All states but the last: such an instance exists and may come to cost something."""

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
    """The calls of the EC2 client that a fleet makes; `FakeEc2` has them, too."""

    def run_instances(self, *args: Any, **kwargs: Any) -> Any:
        """Launch."""
        ...

    def describe_instances(self, *args: Any, **kwargs: Any) -> Any:
        """List."""
        ...

    def terminate_instances(self, *args: Any, **kwargs: Any) -> Any:
        """End."""
        ...


@dataclass(frozen=True, slots=True)
class ListedInstance:
    """An instance as DescribeInstances shows it.

    Attributes:
        instance_id: Its id.
        state: EC2's word for its state.
        launched_at: Seconds since the epoch.
        kind: Its type.
        pricing: ``spot`` or ``on-demand``.
        token: The client token that it was launched with.
        tags: Its tags.
    """

    instance_id: str
    state: str
    launched_at: float
    kind: str
    pricing: str
    token: str
    tags: Mapping[str, str]

    @property
    def live(self) -> bool:
        """Whether it exists still; only a terminated one does not."""
        return self.state in LIVE_STATES

    def to_instance(self) -> Instance:
        """The instance in the words of the port; only for a live one."""
        return Instance(
            self.instance_id,
            _STATES[self.state],
            self.launched_at,
            self.kind,
            self.pricing,
            self.tags.get(ROLE_TAG, "worker"),
        )


def list_instances(
    client: Ec2Client, deployment: str, roles: Sequence[str] = ()
) -> list[ListedInstance]:
    """The deployment's instances, by their tags; those that ended within the hour, too.

    Args:
        client: The EC2 client.
        deployment: The deployment.
        roles: Which roles; empty for all.

    Raises:
        PermissionDeniedError, BackendError: EC2 could not be asked.
    """
    filters: list[dict[str, Any]] = [{"Name": f"tag:{DEPLOYMENT_TAG}", "Values": [deployment]}]
    if roles:
        filters.append({"Name": f"tag:{ROLE_TAG}", "Values": list(roles)})
    with translating("ec2", "the deployment's instances"):
        return list(_pages(client, {"Filters": filters, "MaxResults": 1000}))


def find_instance(client: Ec2Client, instance_id: str) -> ListedInstance | None:
    """One instance by its id; see `find_instances`."""
    return next(iter(find_instances(client, [instance_id])), None)


def find_instances(client: Ec2Client, instance_ids: Sequence[str]) -> list[ListedInstance]:
    """Those of some instances that EC2 knows, whatever their tags, for one call. Some may be too
    new to be known, or gone for too long.

    Raises:
        PermissionDeniedError, BackendError: EC2 could not be asked.
    """
    found: list[ListedInstance] = []
    for start in range(0, len(instance_ids), _MAX_FILTER_VALUES):
        ids = list(instance_ids[start : start + _MAX_FILTER_VALUES])
        # Asked for by InstanceIds, one unknown id would make an error of the whole answer.
        filters = [{"Name": "instance-id", "Values": ids}]
        with translating("ec2", f"the instances {', '.join(ids[:3])}"):
            found += _pages(client, {"Filters": filters, "MaxResults": 1000})
    return found


def terminate_instances(client: Ec2Client, instance_ids: Sequence[str]) -> None:
    """End instances; those that EC2 does not know are no error.

    Raises:
        PermissionDeniedError, BackendError: Some may be ended.
    """
    if not instance_ids:
        return
    with translating("ec2", f"the instances {', '.join(instance_ids)}"):
        try:
            client.terminate_instances(InstanceIds=list(instance_ids))
        except Exception as exc:
            if not is_unknown_instance(exc):
                raise
            # One unknown instance makes EC2 refuse them all.
            ids = list(instance_ids) if len(instance_ids) > 1 else []
            for one in ids:
                terminate_instances(client, [one])


def is_unknown_instance(exc: Exception) -> bool:
    """Tell whether an error says that EC2 does not know an instance."""
    return code_of(exc) in _GONE


def _pages(client: Ec2Client, request: dict[str, Any]) -> Iterator[ListedInstance]:
    while True:
        answer = client.describe_instances(**request)
        for reservation in answer.get("Reservations", []):
            for instance in reservation.get("Instances", []):
                yield _listed(instance)
        if not answer.get("NextToken"):
            return
        request = {**request, "NextToken": answer["NextToken"]}


def _listed(instance: Mapping[str, Any]) -> ListedInstance:
    return ListedInstance(
        instance_id=instance["InstanceId"],
        state=instance["State"]["Name"],
        launched_at=instance["LaunchTime"].timestamp(),
        kind=instance["InstanceType"],
        pricing="spot" if instance.get("InstanceLifecycle") == "spot" else "on-demand",
        token=instance.get("ClientToken", ""),
        tags={tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])},
    )
