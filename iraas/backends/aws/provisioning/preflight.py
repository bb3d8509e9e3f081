"""What would stand in the way of a deployment: found before anything is made."""

from collections.abc import Iterator

from iraas.backends.aws.provisioning.findings import Finding
from iraas.backends.aws.provisioning.network import find_subnets, subnets_without_a_way_out
from iraas.backends.aws.provisioning.permission_check import check_permissions
from iraas.backends.aws.provisioning.quotas import check_on_demand_quota, check_spot_quota
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.backends.aws.provisioning.spot_role import SPOT_ROLE, has_spot_role
from iraas.errors import IraasError


def check_site(site: ProvisioningContext) -> list[Finding]:
    """Look at all of it. Changes nothing; what may not be looked at is a finding, too."""
    findings: list[Finding] = []
    for subject, look in (
        ("permissions", check_permissions),
        ("on-demand quota", check_on_demand_quota),
        ("Spot quota", check_spot_quota),
        ("Spot role", _spot_role),
        ("subnets", _subnets),
        ("way out", _way_out),
    ):
        try:
            findings += look(site)
        except IraasError as exc:
            findings.append(Finding(subject, None, str(exc), exc.remedy))
    return findings


def _spot_role(site: ProvisioningContext) -> Iterator[Finding]:
    if "spot" in site.options.pricings:
        there = has_spot_role(site)
        text = f"{SPOT_ROLE} is {'there' if there else 'made when the deployment is provisioned'}"
        yield Finding("Spot role", ok=True, text=text)


def _subnets(site: ProvisioningContext) -> Iterator[Finding]:
    subnets = find_subnets(site)
    needed = site.options.capacity + 1
    free = sum(one.free_addresses for one in subnets)
    zones = len({one.zone for one in subnets})
    text = f"{len(subnets)} subnets in {zones} zones with {free} free addresses"
    if free < needed:
        yield Finding("subnets", ok=False, text=text, remedy=f"{needed} addresses are needed.")
    else:
        yield Finding("subnets", ok=True, text=text)


def _way_out(site: ProvisioningContext) -> Iterator[Finding]:
    """Instances reach AWS, and PyPI while they install, or are of no use."""
    closed = subnets_without_a_way_out(site)
    if closed:
        yield Finding(
            "way out",
            ok=False,
            text=f"instances in {', '.join(closed)} reach neither AWS nor PyPI: no default route "
            "to a NAT gateway, nor one to an internet gateway together with public addresses",
            remedy="Choose other subnets with --subnets, or give these a route and addresses: "
            "aws ec2 modify-subnet-attribute --map-public-ip-on-launch --subnet-id …",
        )
    else:
        yield Finding("way out", ok=True, text="all subnets have a route out")
