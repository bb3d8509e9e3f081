"""What a deployment made while it worked, or left behind: found by tag."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from iraas.backends.aws.errors import code_of, translating
from iraas.backends.aws.fleet.ec2_instances import (
    ListedInstance,
    find_instance,
    list_instances,
    terminate_instances,
)
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger
from iraas.backends.aws.names import DEPLOYMENT_TAG, ROLE_TAG
from iraas.backends.aws.provisioning.network import Network
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.backends.aws.provisioning.security_groups import groups_elsewhere, remove_group
from iraas.core.ports import Resource
from iraas.errors import BackendError, NotProvisionedError

ROLES = ("worker", "web", "builder")
_ENDED_S = 900.0
_GONE = (
    "InvalidAMIID.NotFound",
    "InvalidAMIID.Unavailable",
    "InvalidSnapshot.NotFound",
    "InvalidVolume.NotFound",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
)


@dataclass(frozen=True, slots=True)
class Stray:
    """Something without a name of its own in the plan.

    Attributes:
        resource: What it is, for people.
        remove: Removes it; idempotent.
    """

    resource: Resource
    remove: Callable[[], None]


def find_instances(
    site: ProvisioningContext, ledgers: Iterable[LaunchLedger] = ()
) -> list[ListedInstance]:
    """The deployment's live instances: by tag, and those that only a ledger knows yet."""
    ec2 = site.session.client("ec2")
    found = {one.instance_id: one for one in list_instances(ec2, site.names.deployment)}
    for instance_id in _known_to(ledgers):
        if instance_id not in found:
            one = find_instance(ec2, instance_id)
            if one is not None:
                found[instance_id] = one
    return [one for one in found.values() if one.live]


def _known_to(ledgers: Iterable[LaunchLedger]) -> Iterator[str]:
    for ledger in ledgers:
        try:
            entries = ledger.latest().values()
        except (BackendError, NotProvisionedError):
            continue  # the bucket is gone, and the ledger with it
        yield from (one.instance_id for one in entries if one.state == "occupied")


def end_instances(site: ProvisioningContext, ledgers: Iterable[LaunchLedger]) -> None:
    """End all instances and wait until they are terminated.

    Raises:
        WaitTimeoutError: Some are not in time.
    """
    ec2 = site.session.client("ec2")
    known = list(ledgers)
    told: set[str] = set()

    def ended() -> bool:
        live = find_instances(site, known)
        if new := [one.instance_id for one in live if one.instance_id not in told]:
            site.report(f"ending {len(new)} instances: {', '.join(new)}")
            told.update(new)
        terminate_instances(ec2, [one.instance_id for one in live if one.state != "shutting-down"])
        return not live

    site.wait(ended, "ending the instances", at_most_s=_ENDED_S, every_s=2.0)


def instance_resources(instances: Iterable[ListedInstance]) -> list[Resource]:
    """Instances, for people."""
    return [
        Resource(
            "instance",
            one.instance_id,
            exists=True,
            detail=f"{one.tags.get(ROLE_TAG, 'no role')}, {one.state}, {one.kind} {one.pricing}",
        )
        for one in instances
    ]


def find_response_queues(site: ProvisioningContext) -> list[Stray]:
    """The response queues of requesters that are still there, or were not swept."""
    sqs: Any = site.session.client("sqs")
    with translating("sqs", "the response queues", provisioned=False):
        pages = sqs.get_paginator("list_queues").paginate(
            QueueNamePrefix=site.names.reply_prefix, PaginationConfig={"PageSize": 1000}
        )
        urls = [url for page in pages for url in page.get("QueueUrls", [])]
        ours = [url for url in urls if _is_ours(site, lambda one=url: _queue_tags(sqs, one))]  # type: ignore[misc]
    return [
        Stray(
            Resource("response queue", url.rsplit("/", 1)[-1], exists=True),
            _remover(site, "sqs", sqs.delete_queue, QueueUrl=url),
        )
        for url in ours
    ]


def find_images(site: ProvisioningContext) -> list[Stray]:
    """Baked images, and then the snapshots that they or interrupted bakes left."""
    ec2: Any = site.session.client("ec2")
    filters = [{"Name": f"tag:{DEPLOYMENT_TAG}", "Values": [site.names.deployment]}]
    with translating("ec2", "the images"):
        images = ec2.describe_images(Owners=["self"], Filters=filters)["Images"]
        snapshots = ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]
    return [
        Stray(
            Resource("image", one["ImageId"], exists=True, detail=one.get("Name", "")),
            _image_remover(site, one["ImageId"], snapshots_of(one)),
        )
        for one in images
    ] + [
        Stray(
            Resource("snapshot", one["SnapshotId"], exists=True),
            _remover(site, "ec2", ec2.delete_snapshot, SnapshotId=one["SnapshotId"]),
        )
        for one in snapshots
    ]


def snapshots_of(image: dict[str, Any]) -> list[str]:
    """The snapshots that an image is made of."""
    disks = [one.get("Ebs", {}) for one in image.get("BlockDeviceMappings", [])]
    return [disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")]


def _image_remover(
    site: ProvisioningContext, image_id: str, snapshot_ids: list[str]
) -> Callable[[], None]:
    """An image's snapshots outlive it, and cost, unless they are deleted after it."""
    ec2: Any = site.session.client("ec2")

    def remove() -> None:
        _remover(site, "ec2", ec2.deregister_image, ImageId=image_id)()
        for one in snapshot_ids:
            _remover(site, "ec2", ec2.delete_snapshot, SnapshotId=one)()

    return remove


def find_volumes(site: ProvisioningContext) -> list[Stray]:
    """Volumes that no instance uses any more, though they should have gone with theirs."""
    ec2: Any = site.session.client("ec2")
    filters = [
        {"Name": f"tag:{DEPLOYMENT_TAG}", "Values": [site.names.deployment]},
        {"Name": "status", "Values": ["available"]},
    ]
    with translating("ec2", "the volumes"):
        volumes = ec2.describe_volumes(Filters=filters)["Volumes"]
    return [
        Stray(
            Resource("volume", one["VolumeId"], exists=True, detail=f"{one.get('Size')} GiB"),
            _remover(site, "ec2", ec2.delete_volume, VolumeId=one["VolumeId"]),
        )
        for one in volumes
    ]


def find_groups(site: ProvisioningContext) -> list[Stray]:
    """Security groups in a VPC that the deployment was in before."""
    return [
        Stray(
            Resource("security group", one["GroupId"], exists=True, detail=f"in {one['VpcId']}"),
            partial(remove_group, site, one["GroupId"]),
        )
        for one in groups_elsewhere(site, Network(site))
    ]


def _is_ours(site: ProvisioningContext, tags: Callable[[], dict[str, str]]) -> bool:
    try:
        return tags().get(DEPLOYMENT_TAG) == site.names.deployment
    except Exception as exc:
        if code_of(exc) in _GONE:
            return False
        raise


def _queue_tags(sqs: Any, url: str) -> dict[str, str]:
    tags: dict[str, str] = sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
    return tags


def _remover(
    site: ProvisioningContext, service: str, call: Callable[..., Any], **request: str
) -> Callable[[], None]:
    def remove() -> None:
        what = next(iter(request.values()))
        with translating(service, what, provisioned=False):
            try:
                call(**request)
            except Exception as exc:
                if code_of(exc) not in _GONE:
                    raise
        site.report(f"removed {what}")

    return remove
