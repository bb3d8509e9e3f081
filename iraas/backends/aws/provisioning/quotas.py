"""Whether the account's quotas leave room for the fleet, beside what runs already."""

import re
from collections.abc import Iterator
from typing import Any

from iraas.backends.aws.errors import translating
from iraas.backends.aws.names import DEPLOYMENT_TAG
from iraas.backends.aws.provisioning.findings import Finding
from iraas.backends.aws.provisioning.resource import ProvisioningContext, tag_map

ON_DEMAND_VCPUS = "L-1216C47A"
SPOT_VCPUS = "L-34B43A08"
"""Quotas for standard instances, in vCPUs
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-quotas.html)."""

_SIZES = {"nano": 2, "micro": 2, "small": 2, "medium": 2, "large": 2, "xlarge": 4}
_XLARGE = re.compile(r"(\d+)xlarge")
_STANDARD = re.compile(r"(a|c|d|h|i|m|r|t|z)\d.*")
"""The families that these quotas are about, by the type's name."""


def vcpus(kind: str) -> int:
    """The vCPUs of an instance type, by its size."""
    size = kind.rpartition(".")[2]
    many = _XLARGE.fullmatch(size)
    return 4 * int(many[1]) if many else _SIZES.get(size, 2)


def check_on_demand_quota(site: ProvisioningContext) -> Iterator[Finding]:
    """Look at the quota for instances on demand: the web tier's one, and workers if so paid."""
    web = vcpus(site.options.web_kind)
    workers = _fleet_vcpus(site) if "on-demand" in site.options.pricings else 0
    yield _quota(site, "on-demand quota", ON_DEMAND_VCPUS, workers, web, lifecycle="")


def check_spot_quota(site: ProvisioningContext) -> Iterator[Finding]:
    """Look at the quota for Spot instances."""
    if "spot" in site.options.pricings:
        yield _quota(site, "Spot quota", SPOT_VCPUS, _fleet_vcpus(site), 0, lifecycle="spot")


def _fleet_vcpus(site: ProvisioningContext) -> int:
    return site.options.capacity * max(vcpus(kind) for kind in site.options.kinds)


def _quota(
    site: ProvisioningContext, subject: str, code: str, workers: int, web: int, *, lifecycle: str
) -> Finding:
    quotas: Any = site.session.client("service-quotas")
    with translating("servicequotas", f"the quota {code}"):
        answer = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)
    allowed = int(answer["Quota"]["Value"])
    used = _used_by_others(site, lifecycle)
    parts = [f"{site.options.capacity} workers need {workers}"] if workers else []
    parts += [f"the web tier needs {web}"] if web else []
    text = f"{allowed} vCPUs are allowed, others use {used} of them, {', '.join(parts)}"
    free, needed = allowed - used, workers + web
    if free >= needed:
        return Finding(subject, ok=True, text=text)
    fit = max(0, free - web) * site.options.capacity // workers if workers else 0
    return Finding(
        subject,
        ok=False,
        text=f"{text}; {fit} of these workers fit" if workers else text,
        remedy=f"Ask for {needed + used} at https://console.aws.amazon.com/servicequotas/ "
        f"({code}), or do with a smaller fleet (--max-workers).",
    )


def _used_by_others(site: ProvisioningContext, lifecycle: str) -> int:
    """The vCPUs of the account's other instances that are paid for in the same way."""
    ec2: Any = site.session.client("ec2")
    filters = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    used = 0
    request: dict[str, Any] = {"Filters": filters, "MaxResults": 1000}
    while True:
        with translating("ec2", "the account's instances"):
            page = ec2.describe_instances(**request)
        for reservation in page.get("Reservations", []):
            for one in reservation.get("Instances", []):
                ours = tag_map(one.get("Tags")).get(DEPLOYMENT_TAG) == site.names.deployment
                same = one.get("InstanceLifecycle", "") == lifecycle
                if same and not ours and _STANDARD.fullmatch(one["InstanceType"]):
                    used += _vcpus_of(one)
        if not page.get("NextToken"):
            return used
        request["NextToken"] = page["NextToken"]


def _vcpus_of(instance: dict[str, Any]) -> int:
    cpu = instance.get("CpuOptions") or {}
    known = int(cpu.get("CoreCount", 0)) * int(cpu.get("ThreadsPerCore", 0))
    return known or vcpus(instance["InstanceType"])
