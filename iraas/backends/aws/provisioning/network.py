"""Where instances are put: the chosen subnets, or those of the default VPC."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from iraas.backends.aws.errors import translating
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.errors import BackendError, BackendUnavailableError, ConfigurationError


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet that instances can be launched into."""

    subnet_id: str
    vpc_id: str
    zone: str
    free_addresses: int
    gives_public_addresses: bool


def find_subnets(site: ProvisioningContext) -> list[Subnet]:
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
                bool(one.get("MapPublicIpOnLaunch")),
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


def subnets_without_a_way_out(site: ProvisioningContext) -> list[str]:
    """The subnets whose instances cannot reach anything outside their VPC.

    Raises:
        ConfigurationError: There are no subnets, or the routes may not be looked at.
    """
    ec2: Any = site.session.client("ec2")
    subnets = find_subnets(site)
    filters = [{"Name": "vpc-id", "Values": [subnets[0].vpc_id]}]
    with translating("ec2", "the routes"):
        tables = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    by_subnet: dict[str, dict[str, Any]] = {}
    for table in tables:
        for one in table.get("Associations", []):
            # Subnets without a table of their own have the main one.
            by_subnet["" if one.get("Main") else one.get("SubnetId", "")] = table
    main = by_subnet.get("", {})
    return [
        one.subnet_id
        for one in subnets
        if not _leads_out(by_subnet.get(one.subnet_id, main), one.gives_public_addresses)
    ]


def _leads_out(table: dict[str, Any], is_public: bool) -> bool:
    for route in table.get("Routes", []):
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State") != "blackhole":
            # An internet gateway lets only those out who have a public address.
            return is_public or not str(route.get("GatewayId", "")).startswith("igw-")
    return False


class Network:
    """The VPC that the deployment's subnets are of, looked up when it is first needed."""

    def __init__(self, site: ProvisioningContext) -> None:
        """Say whose."""
        self._site = site

    @cached_property
    def vpc_id(self) -> str:
        """Its id; empty if there is no such network any more, which stops no teardown."""
        try:
            return find_subnets(self._site)[0].vpc_id
        except BackendUnavailableError:
            raise
        except (BackendError, ConfigurationError):
            return ""
