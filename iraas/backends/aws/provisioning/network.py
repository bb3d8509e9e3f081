"""Network of the instances: the configured subnets, or those of the default VPC."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from iraas.backends.aws.errors import translate_errors
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.errors import BackendError, BackendUnavailableError, ConfigurationError


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet for instances."""

    subnet_id: str
    vpc_id: str
    zone: str
    free_addresses: int
    assigns_public_ips: bool


def find_subnets(context: ProvisioningContext) -> list[Subnet]:
    """List the configured subnets, or those of the default VPC, sorted by zone.

    Raises:
        ConfigurationError: There are none, or they belong to several VPCs.
    """
    chosen = list(context.config.subnet_ids)
    with translate_errors("ec2", "the subnets"):
        if chosen:
            response = context.ec2.describe_subnets(SubnetIds=chosen)
        else:
            filters = [{"Name": "default-for-az", "Values": ["true"]}]
            response = context.ec2.describe_subnets(Filters=filters)
    subnets = sorted(
        (
            Subnet(
                subnet["SubnetId"],
                subnet["VpcId"],
                subnet["AvailabilityZone"],
                subnet.get("AvailableIpAddressCount", 0),
                bool(subnet.get("MapPublicIpOnLaunch")),
            )
            for subnet in response["Subnets"]
        ),
        key=lambda subnet: (subnet.zone, subnet.subnet_id),
    )
    if not subnets:
        raise ConfigurationError(
            f"there is no default VPC with subnets in {context.region}",
            remedy="Create one with: aws ec2 create-default-vpc, or choose subnets with --subnets.",
        )
    if len({subnet.vpc_id for subnet in subnets}) > 1:
        raise ConfigurationError(
            "the chosen subnets belong to several VPCs", remedy="Choose one VPC."
        )
    return subnets


def subnets_without_egress(context: ProvisioningContext) -> list[str]:
    """List the subnets whose instances cannot reach anything outside their VPC.

    Raises:
        ConfigurationError: There are no subnets, or the route tables may not be read.
    """
    subnets = find_subnets(context)
    filters = [{"Name": "vpc-id", "Values": [subnets[0].vpc_id]}]
    with translate_errors("ec2", "the routes"):
        route_tables = context.ec2.describe_route_tables(Filters=filters)["RouteTables"]
    by_subnet: dict[str, dict[str, Any]] = {}
    for table in route_tables:
        for association in table.get("Associations", []):
            # Subnets without an own route table use the main one.
            by_subnet["" if association.get("Main") else association.get("SubnetId", "")] = table
    main = by_subnet.get("", {})
    return [
        subnet.subnet_id
        for subnet in subnets
        if not _has_egress_route(by_subnet.get(subnet.subnet_id, main), subnet.assigns_public_ips)
    ]


def _has_egress_route(table: dict[str, Any], is_public: bool) -> bool:
    for route in table.get("Routes", []):
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State") != "blackhole":
            # An internet gateway requires public addresses.
            return is_public or not str(route.get("GatewayId", "")).startswith("igw-")
    return False


class Network:
    """The VPC of the deployment's subnets, looked up on first use."""

    def __init__(self, context: ProvisioningContext) -> None:
        """Create the object without calling AWS."""
        self._context = context

    @cached_property
    def vpc_id(self) -> str:
        """Its id; empty if the VPC no longer exists, so that a teardown can continue."""
        try:
            return find_subnets(self._context)[0].vpc_id
        except BackendUnavailableError:
            raise
        except (BackendError, ConfigurationError):
            return ""
