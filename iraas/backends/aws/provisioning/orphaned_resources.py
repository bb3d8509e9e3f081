"""Resources created at run time or left behind, found by tag."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from iraas.backends.aws.errors import error_code, translate_errors
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

_TERMINATION_TIMEOUT_S = 900.0
_GONE = (
    "InvalidAMIID.NotFound",
    "InvalidAMIID.Unavailable",
    "InvalidSnapshot.NotFound",
    "InvalidVolume.NotFound",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
)


@dataclass(frozen=True, slots=True)
class OrphanedResource:
    """A resource that is not part of the plan.

    Attributes:
        resource: Its description.
        remove: Removes it; idempotent.
    """

    resource: Resource
    remove: Callable[[], None]


def find_instances(
    context: ProvisioningContext, ledgers: Iterable[LaunchLedger] = ()
) -> list[ListedInstance]:
    """List the deployment's live instances: by tag, and those known only to a ledger.

    Args:
        context: The provisioning context.
        ledgers: Launch ledgers to read besides EC2's listing.
    """
    found = {
        instance.instance_id: instance
        for instance in list_instances(context.ec2, context.names.deployment)
    }
    for instance_id in _ledger_instance_ids(ledgers):
        if instance_id not in found:
            instance = find_instance(context.ec2, instance_id)
            if instance is not None:
                found[instance_id] = instance
    return [instance for instance in found.values() if instance.live]


def _ledger_instance_ids(ledgers: Iterable[LaunchLedger]) -> Iterator[str]:
    for ledger in ledgers:
        try:
            entries = ledger.latest().values()
        except (BackendError, NotProvisionedError):
            continue  # the bucket is gone, and the ledger with it
        yield from (entry.instance_id for entry in entries if entry.state == "occupied")


def terminate_all(context: ProvisioningContext, ledgers: Iterable[LaunchLedger]) -> None:
    """Terminate all instances and wait until they are gone.

    Args:
        context: The provisioning context.
        ledgers: Launch ledgers to read besides EC2's listing.

    Raises:
        WaitTimeoutError: Some are still alive after `_TERMINATION_TIMEOUT_S`.
    """
    known = list(ledgers)
    reported: set[str] = set()

    def ended() -> bool:
        live = find_instances(context, known)
        if new := [
            instance.instance_id for instance in live if instance.instance_id not in reported
        ]:
            context.report(f"terminating {len(new)} instances: {', '.join(new)}")
            reported.update(new)
        terminate_instances(
            context.ec2,
            [instance.instance_id for instance in live if instance.state != "shutting-down"],
        )
        return not live

    context.wait(
        ended, "terminating the instances", timeout_s=_TERMINATION_TIMEOUT_S, poll_interval_s=2.0
    )


def instance_resources(instances: Iterable[ListedInstance]) -> list[Resource]:
    """Describe instances as resources."""
    return [
        Resource(
            "instance",
            instance.instance_id,
            exists=True,
            detail=f"{instance.tags.get(ROLE_TAG, 'no role')}, {instance.state}, "
            f"{instance.instance_type} {instance.pricing}",
        )
        for instance in instances
    ]


def find_response_queues(context: ProvisioningContext) -> list[OrphanedResource]:
    """List the existing response queues."""
    with translate_errors("sqs", "the response queues", provisioned=False):
        pages = context.sqs.get_paginator("list_queues").paginate(
            QueueNamePrefix=context.names.reply_prefix, PaginationConfig={"PageSize": 1000}
        )
        urls = [url for page in pages for url in page.get("QueueUrls", [])]
        managed = [
            url for url in urls if _is_managed(context, partial(_queue_tags, context.sqs, url))
        ]
    return [
        OrphanedResource(
            Resource("response queue", url.rsplit("/", 1)[-1], exists=True),
            _remover(context, "sqs", context.sqs.delete_queue, QueueUrl=url),
        )
        for url in managed
    ]


def find_images(context: ProvisioningContext) -> list[OrphanedResource]:
    """List baked AMIs, then the snapshots left by them or by interrupted baking."""
    filters = [{"Name": f"tag:{DEPLOYMENT_TAG}", "Values": [context.names.deployment]}]
    with translate_errors("ec2", "the images"):
        images = context.ec2.describe_images(Owners=["self"], Filters=filters)["Images"]
        snapshots = context.ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]
    return [
        OrphanedResource(
            Resource("image", image["ImageId"], exists=True, detail=image.get("Name", "")),
            _image_remover(context, image["ImageId"], snapshots_of(image)),
        )
        for image in images
    ] + [
        OrphanedResource(
            Resource("snapshot", snapshot["SnapshotId"], exists=True),
            _remover(
                context, "ec2", context.ec2.delete_snapshot, SnapshotId=snapshot["SnapshotId"]
            ),
        )
        for snapshot in snapshots
    ]


def snapshots_of(image: dict[str, Any]) -> list[str]:
    """Ids of an AMI's snapshots."""
    disks = [device.get("Ebs", {}) for device in image.get("BlockDeviceMappings", [])]
    return [disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")]


def _image_remover(
    context: ProvisioningContext, image_id: str, snapshot_ids: list[str]
) -> Callable[[], None]:
    """Remove an AMI and then its snapshots, which otherwise outlive it and incur costs."""

    def remove() -> None:
        _remover(context, "ec2", context.ec2.deregister_image, ImageId=image_id)()
        for snapshot_id in snapshot_ids:
            _remover(context, "ec2", context.ec2.delete_snapshot, SnapshotId=snapshot_id)()

    return remove


def find_volumes(context: ProvisioningContext) -> list[OrphanedResource]:
    """List unattached volumes, which should have been deleted with their instances."""
    filters = [
        {"Name": f"tag:{DEPLOYMENT_TAG}", "Values": [context.names.deployment]},
        {"Name": "status", "Values": ["available"]},
    ]
    with translate_errors("ec2", "the volumes"):
        volumes = context.ec2.describe_volumes(Filters=filters)["Volumes"]
    return [
        OrphanedResource(
            Resource("volume", volume["VolumeId"], exists=True, detail=f"{volume.get('Size')} GiB"),
            _remover(context, "ec2", context.ec2.delete_volume, VolumeId=volume["VolumeId"]),
        )
        for volume in volumes
    ]


def find_groups(context: ProvisioningContext) -> list[OrphanedResource]:
    """List security groups in a VPC that the deployment used before."""
    return [
        OrphanedResource(
            Resource(
                "security group", group["GroupId"], exists=True, detail=f"in {group['VpcId']}"
            ),
            partial(remove_group, context, group["GroupId"]),
        )
        for group in groups_elsewhere(context, Network(context))
    ]


def _is_managed(context: ProvisioningContext, tags: Callable[[], dict[str, str]]) -> bool:
    try:
        return tags().get(DEPLOYMENT_TAG) == context.names.deployment
    except Exception as exc:
        if error_code(exc) in _GONE:
            return False
        raise


def _queue_tags(sqs: Any, url: str) -> dict[str, str]:
    tags: dict[str, str] = sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
    return tags


def _remover(
    context: ProvisioningContext, service: str, call: Callable[..., Any], **request: str
) -> Callable[[], None]:
    def remove() -> None:
        resource_id = next(iter(request.values()))
        with translate_errors(service, resource_id, provisioned=False):
            try:
                call(**request)
            except Exception as exc:
                if error_code(exc) not in _GONE:
                    raise
        context.report(f"removed {resource_id}")

    return remove
