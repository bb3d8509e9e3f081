"""Security groups without inbound access, except from a configured range."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from iraas.backends.aws.errors import error_code, translate_errors
from iraas.backends.aws.provisioning.network import Network
from iraas.backends.aws.provisioning.resource import (
    ABSENT,
    ProvisioningContext,
    ResourceStatus,
    refuse_unmanaged,
    tag_map,
)
from iraas.errors import NotProvisionedError

WEB_PORT = 8000
"""Port of ``iraas serve-web``."""
IN_USE_TIMEOUT_S = 300.0
"""Maximum time for which network interfaces of terminated instances keep a group in use."""
_UNKNOWN = ("InvalidGroup.NotFound", "InvalidGroupId.NotFound")
_IN_USE = ("DependencyViolation", "InvalidGroup.InUse")


@dataclass(frozen=True, slots=True)
class SecurityGroupResource:
    """A security group: inbound only from a configured range, outbound unrestricted.

    A group belongs to a VPC: one of the same name in another VPC is orphaned.

    Attributes:
        context: The provisioning context.
        network: Its VPC.
        name: Its name.
        role: Its purpose, as in its tag.
        open_to: IPv4 range that may reach the web port; empty for none.
    """

    context: ProvisioningContext
    network: Network
    name: str
    role: str
    open_to: str = ""
    kind: str = "security group"
    _made: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def group_id(self) -> str:
        """Return its id.

        Raises:
            NotProvisionedError: It does not exist.
        """
        if self._made:
            return self._made[0]  # it may not be visible everywhere yet
        group = self._group()
        if group is None:
            raise NotProvisionedError(
                f"there is no security group {self.name}",
                remedy="Create it with: iraas provision --backend aws",
            )
        return str(group["GroupId"])

    def find(self) -> ResourceStatus:
        """Look it up."""
        group = self._group()
        return ABSENT if group is None else self._status_of(group)

    def _status_of(self, group: dict[str, Any]) -> ResourceStatus:
        access = f"port {WEB_PORT} from {self.open_to}" if self.open_to else "no inbound access"
        return self.context.status_of(
            tag_map(group.get("Tags")), f"{group.get('VpcId', '')}; {access}"
        )

    def make(self) -> None:
        """Create it, and set its inbound rules. Idempotent.

        Raises:
            ConfigurationError: It exists and is unmanaged.
        """
        group = self._group()
        if group is not None:
            refuse_unmanaged(self, self._status_of(group))
        with translate_errors("ec2", f"the security group {self.name}"):
            if group is None:
                tags = [{"ResourceType": "security-group", "Tags": self.context.tags(self.role)}]
                response = self.context.ec2.create_security_group(
                    GroupName=self.name,
                    Description=f"iraas {self.role} of {self.context.names.deployment}",
                    VpcId=self.network.vpc_id,
                    TagSpecifications=tags,
                )
                group = {"GroupId": response["GroupId"], "IpPermissions": []}
                self._made.append(str(response["GroupId"]))
            self.context.retry_until_consistent(lambda: self._set_ingress(group), _UNKNOWN)

    def remove(self) -> None:
        """Remove it, waiting while network interfaces of terminated instances use it."""
        group = self._group()
        if group is not None and self._status_of(group).state == "managed":
            remove_group(self.context, str(group["GroupId"]))

    def _set_ingress(self, group: dict[str, Any]) -> None:
        desired = [
            {
                "IpProtocol": "tcp",
                "FromPort": WEB_PORT,
                "ToPort": WEB_PORT,
                "IpRanges": [{"CidrIp": self.open_to}],
            }
        ]
        rules = group.get("IpPermissions", [])
        current = [
            (rule.get("FromPort"), ip_range["CidrIp"])
            for rule in rules
            for ip_range in rule.get("IpRanges", [])
        ]
        if current == ([(WEB_PORT, self.open_to)] if self.open_to else []):
            return
        if rules:
            self.context.ec2.revoke_security_group_ingress(
                GroupId=group["GroupId"], IpPermissions=rules
            )
        if self.open_to:
            self.context.ec2.authorize_security_group_ingress(
                GroupId=group["GroupId"], IpPermissions=desired
            )

    def _group(self) -> dict[str, Any] | None:
        """The group in the deployment's VPC; in any VPC if that is unknown."""
        groups = list_groups(self.context, [self.name], self.network.vpc_id)
        return groups[0] if groups else None


def list_groups(
    context: ProvisioningContext, names: Iterable[str], vpc_id: str = ""
) -> list[dict[str, Any]]:
    """List security groups by name, managed or not.

    Args:
        context: The provisioning context.
        names: The groups' names.
        vpc_id: The VPC; empty for all.
    """
    filters = [{"Name": "group-name", "Values": list(names)}]
    if vpc_id:
        filters.append({"Name": "vpc-id", "Values": [vpc_id]})
    with translate_errors("ec2", "the security groups"):
        groups: list[dict[str, Any]] = context.ec2.describe_security_groups(Filters=filters)[
            "SecurityGroups"
        ]
    return groups


def groups_elsewhere(context: ProvisioningContext, network: Network) -> list[dict[str, Any]]:
    """List managed groups in other VPCs, left from earlier subnets of the deployment."""
    named = list_groups(context, [context.names.worker, context.names.web])
    managed = [
        group for group in named if context.status_of(tag_map(group.get("Tags"))).state == "managed"
    ]
    if not network.vpc_id:
        # Each resource manages one group of its name; the others are found here.
        first = {group["GroupName"]: group["GroupId"] for group in reversed(named)}
        return [group for group in managed if group["GroupId"] != first[group["GroupName"]]]
    return [group for group in managed if group.get("VpcId") != network.vpc_id]


def remove_group(context: ProvisioningContext, group_id: str) -> None:
    """Remove a group, waiting while network interfaces of terminated instances use it.

    Raises:
        WaitTimeoutError: It is still in use after `IN_USE_TIMEOUT_S`.
    """
    context.wait(
        lambda: remove_unused_group(context, group_id),
        f"removing the security group {group_id}",
        timeout_s=IN_USE_TIMEOUT_S,
        poll_interval_s=5.0,
    )


def remove_unused_group(context: ProvisioningContext, group_id: str) -> bool:
    """Remove a group unless it is in use; return whether it is gone."""
    with translate_errors("ec2", f"the security group {group_id}"):
        try:
            context.ec2.delete_security_group(GroupId=group_id)
        except Exception as exc:
            if error_code(exc) in _IN_USE:
                return False
            if error_code(exc) not in _UNKNOWN:
                raise
    return True
