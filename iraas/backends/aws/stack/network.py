"""Where instances are put: the default VPC's subnets, and security groups that let nobody in."""

from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.stack.parts import ABSENT, Found, Site, tag_map
from iraas.backends.aws.translation import code_of, translating
from iraas.errors import ConfigurationError

WEB_PORT = 8000
"""Where ``iraas serve-web`` listens."""
_IN_USE_S = 300.0


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet that instances can be launched into."""

    subnet_id: str
    vpc_id: str
    zone: str
    free_addresses: int


def find_subnets(site: Site) -> list[Subnet]:
    """The chosen subnets, or those of the default VPC, by zone.

    Raises:
        ConfigurationError: There are none, or those chosen are not of one VPC.
    """
    ec2: Any = site.session.client("ec2")
    chosen = list(site.options.subnet_ids)
    with translating("ec2", "the subnets"):
        if chosen:
            answer = ec2.describe_subnets(SubnetIds=chosen)
        else:
            filters = [{"Name": "default-for-az", "Values": ["true"]}]
            answer = ec2.describe_subnets(Filters=filters)
    subnets = sorted(
        (
            Subnet(
                one["SubnetId"],
                one["VpcId"],
                one["AvailabilityZone"],
                one.get("AvailableIpAddressCount", 0),
            )
            for one in answer["Subnets"]
        ),
        key=lambda one: (one.zone, one.subnet_id),
    )
    if not subnets:
        raise ConfigurationError(
            f"there is no default VPC with subnets in {site.region}",
            remedy="Make one with: aws ec2 create-default-vpc, or choose subnets.",
        )
    if len({one.vpc_id for one in subnets}) > 1:
        raise ConfigurationError("the chosen subnets are of several VPCs", remedy="Choose one VPC.")
    return subnets


@dataclass(frozen=True, slots=True)
class SecurityGroupPart:
    """A security group. Nothing gets in unless a range is named; all gets out.

    Attributes:
        site: Where it is.
        name: Its name.
        role: What it is for, as its tag says.
        open_to: The IPv4 range that may reach the web port; empty for nobody.
    """

    site: Site
    name: str
    role: str
    open_to: str = ""
    kind: str = "security group"

    @property
    def _ec2(self) -> Any:
        return self.site.session.client("ec2")

    def group_id(self) -> str | None:
        """Its id, if it is there."""
        group = self._group()
        return None if group is None else str(group["GroupId"])

    def find(self) -> Found:
        """Look for it."""
        group = self._group()
        if group is None:
            return ABSENT
        who = f"port {WEB_PORT} from {self.open_to}" if self.open_to else "nobody gets in"
        return self.site.found(tag_map(group.get("Tags")), who)

    def make(self) -> None:
        """Make it, and set who gets in. Idempotent."""
        with translating("ec2", f"the security group {self.name}"):
            group = self._group()
            if group is None:
                tags = [{"ResourceType": "security-group", "Tags": self.site.tags(self.role)}]
                answer = self._ec2.create_security_group(
                    GroupName=self.name,
                    Description=f"iraas {self.role} of {self.site.names.deployment}",
                    VpcId=find_subnets(self.site)[0].vpc_id,
                    TagSpecifications=tags,
                )
                group = {"GroupId": answer["GroupId"], "IpPermissions": []}
            self._let_in(group)

    def remove(self) -> None:
        """Remove it, waiting while network interfaces of ended instances still use it."""

        def removed() -> bool:
            group = self._group()
            if group is None:
                return True
            with translating("ec2", f"the security group {self.name}"):
                try:
                    self._ec2.delete_security_group(GroupId=group["GroupId"])
                except Exception as exc:
                    if code_of(exc) == "DependencyViolation":
                        return False
                    if code_of(exc) != "InvalidGroup.NotFound":
                        raise
            return True

        what = f"removing the security group {self.name}"
        self.site.wait(removed, what, at_most_s=_IN_USE_S, every_s=5.0)

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
        filters = [{"Name": "group-name", "Values": [self.name]}]
        with translating("ec2", f"the security group {self.name}"):
            groups = self._ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return groups[0] if groups else None
