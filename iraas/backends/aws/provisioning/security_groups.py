"""Security groups that let nobody in, unless a range is named."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from iraas.backends.aws.errors import code_of, translating
from iraas.backends.aws.provisioning.network import Network
from iraas.backends.aws.provisioning.resource import (
    ABSENT,
    Found,
    ProvisioningContext,
    refuse_foreign,
    tag_map,
)
from iraas.errors import NotProvisionedError

WEB_PORT = 8000
"""Where ``iraas serve-web`` listens."""
IN_USE_S = 300.0
"""How long the network interfaces of ended instances may keep a group in use."""
_UNKNOWN = ("InvalidGroup.NotFound", "InvalidGroupId.NotFound")
_IN_USE = ("DependencyViolation", "InvalidGroup.InUse")


@dataclass(frozen=True, slots=True)
class SecurityGroupPart:
    """A security group. Nothing gets in unless a range is named; all gets out.

    A group belongs to a VPC: one of the same name in another VPC is of no use there, and a stray.

    Attributes:
        site: Where it is.
        network: The VPC that it is for.
        name: Its name.
        role: What it is for, as its tag says.
        open_to: The IPv4 range that may reach the web port; empty for nobody.
    """

    site: ProvisioningContext
    network: Network
    name: str
    role: str
    open_to: str = ""
    kind: str = "security group"
    _made: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def _ec2(self) -> Any:
        return self.site.session.client("ec2")

    def group_id(self) -> str:
        """Its id.

        Raises:
            NotProvisionedError: It is not there.
        """
        if self._made:
            return self._made[0]  # it may not be found everywhere yet
        group = self._group()
        if group is None:
            raise NotProvisionedError(
                f"there is no security group {self.name}",
                remedy="Make it with: iraas provision --backend aws",
            )
        return str(group["GroupId"])

    def find(self) -> Found:
        """Look for it."""
        group = self._group()
        return ABSENT if group is None else self._judge(group)

    def _judge(self, group: dict[str, Any]) -> Found:
        who = f"port {WEB_PORT} from {self.open_to}" if self.open_to else "nobody gets in"
        return self.site.found(tag_map(group.get("Tags")), f"{group.get('VpcId', '')}; {who}")

    def make(self) -> None:
        """Make it, and set who gets in. Idempotent.

        Raises:
            ConfigurationError: It is there and not ours.
        """
        group = self._group()
        if group is not None:
            refuse_foreign(self, self._judge(group))
        with translating("ec2", f"the security group {self.name}"):
            if group is None:
                tags = [{"ResourceType": "security-group", "Tags": self.site.tags(self.role)}]
                answer = self._ec2.create_security_group(
                    GroupName=self.name,
                    Description=f"iraas {self.role} of {self.site.names.deployment}",
                    VpcId=self.network.vpc_id,
                    TagSpecifications=tags,
                )
                group = {"GroupId": answer["GroupId"], "IpPermissions": []}
                self._made.append(str(answer["GroupId"]))
            self.site.settling(lambda: self._let_in(group), _UNKNOWN)

    def remove(self) -> None:
        """Remove it, waiting while network interfaces of ended instances still use it."""
        group = self._group()
        if group is not None and self._judge(group).state == "ours":
            remove_group(self.site, str(group["GroupId"]))

    def _let_in(self, group: dict[str, Any]) -> None:
        wanted = [
            {
                "IpProtocol": "tcp",
                "FromPort": WEB_PORT,
                "ToPort": WEB_PORT,
                "IpRanges": [{"CidrIp": self.open_to}],
            }
        ]
        rules = group.get("IpPermissions", [])
        there = [
            (rule.get("FromPort"), one["CidrIp"])
            for rule in rules
            for one in rule.get("IpRanges", [])
        ]
        if there == ([(WEB_PORT, self.open_to)] if self.open_to else []):
            return
        if rules:
            self._ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=rules)
        if self.open_to:
            self._ec2.authorize_security_group_ingress(
                GroupId=group["GroupId"], IpPermissions=wanted
            )

    def _group(self) -> dict[str, Any] | None:
        """The group in our VPC; in any, if it is not known which that is."""
        groups = list_groups(self.site, [self.name], self.network.vpc_id)
        return groups[0] if groups else None


def list_groups(
    site: ProvisioningContext, names: Iterable[str], vpc_id: str = ""
) -> list[dict[str, Any]]:
    """The security groups of these names, whoever made them, in one VPC or in all."""
    ec2: Any = site.session.client("ec2")
    filters = [{"Name": "group-name", "Values": list(names)}]
    if vpc_id:
        filters.append({"Name": "vpc-id", "Values": [vpc_id]})
    with translating("ec2", "the security groups"):
        groups: list[dict[str, Any]] = ec2.describe_security_groups(Filters=filters)[
            "SecurityGroups"
        ]
    return groups


def groups_elsewhere(site: ProvisioningContext, network: Network) -> list[dict[str, Any]]:
    """Our groups in other VPCs: of a time when the deployment had other subnets."""
    named = list_groups(site, [site.names.worker, site.names.web])
    ours = [one for one in named if site.found(tag_map(one.get("Tags"))).state == "ours"]
    if not network.vpc_id:
        # The parts see one of each name; whatever else there is of it is found here.
        first = {one["GroupName"]: one["GroupId"] for one in reversed(named)}
        return [one for one in ours if one["GroupId"] != first[one["GroupName"]]]
    return [one for one in ours if one.get("VpcId") != network.vpc_id]


def remove_group(site: ProvisioningContext, group_id: str) -> None:
    """Remove a group, waiting while network interfaces of ended instances still use it.

    Raises:
        WaitTimeoutError: It is still in use after minutes.
    """
    site.wait(
        lambda: remove_unused_group(site, group_id),
        f"removing the security group {group_id}",
        at_most_s=IN_USE_S,
        every_s=5.0,
    )


def remove_unused_group(site: ProvisioningContext, group_id: str) -> bool:
    """Remove a group unless it is in use; tell whether it is gone."""
    ec2: Any = site.session.client("ec2")
    with translating("ec2", f"the security group {group_id}"):
        try:
            ec2.delete_security_group(GroupId=group_id)
        except Exception as exc:
            if code_of(exc) in _IN_USE:
                return False
            if code_of(exc) not in _UNKNOWN:
                raise
    return True
