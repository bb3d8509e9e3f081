"""Where instances are put: the chosen subnets, or those of the default VPC."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from iraas.backends.aws.stack.parts import Site
from iraas.backends.aws.translation import translating
from iraas.errors import BackendError, BackendUnavailableError, ConfigurationError


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet that instances can be launched into."""

    subnet_id: str
    vpc_id: str
    zone: str
    free_addresses: int
    gives_public_addresses: bool


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


class Network:
    """The VPC that the deployment's subnets are of, looked up when it is first needed."""

    def __init__(self, site: Site) -> None:
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
