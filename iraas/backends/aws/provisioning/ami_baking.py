"""Baking: an image with everything installed, so that a worker starts in its boot time."""

import hashlib
import secrets
from typing import Any

from iraas.backends.aws.errors import code_of, translating
from iraas.backends.aws.fleet.ec2_instances import (
    find_instance,
    list_instances,
    terminate_instances,
)
from iraas.backends.aws.fleet.launch_candidates import REFUSALS, LaunchOption, launch_options
from iraas.backends.aws.iam.role_permissions import IMAGE_PARAMETER
from iraas.backends.aws.names import INSTALL_PREFIX
from iraas.backends.aws.provisioning.deployment import user_data
from iraas.backends.aws.provisioning.install_files import Artifacts
from iraas.backends.aws.provisioning.orphaned_resources import snapshots_of
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.errors import BackendError

BUILDER = "builder"
_INSTALLED_S = 1800.0
_IMAGE_S = 1800.0
_PROFILE_S = 90.0


def bake_image(site: ProvisioningContext, artifacts: Artifacts) -> str:
    """Launch a builder, let it install and stop, and make an image of it.

    The builder is ended at the end, however that comes. One that an interrupted call left is
    ended first.

    Returns:
        The image's id.

    Raises:
        BackendError: The installation failed.
        WaitTimeoutError: Something took too long.
    """
    ec2: Any = site.session.client("ec2")
    _end_builders(site)
    try:
        instance_id = _launch(site, user_data(site, artifacts, "bake"))
        site.report(f"the builder {instance_id} is installing; this takes some minutes")
        site.wait(
            lambda: _state(site, instance_id) in ("stopped", "terminated"),
            "installing",
            at_most_s=_INSTALLED_S,
            every_s=5.0,
        )
        if not _says_it_is_done(site, instance_id):
            raise BackendError(
                f"the installation in the builder {instance_id} failed",
                remedy=f"See why with: aws ec2 get-console-output --instance-id {instance_id}",
            )
        image_id = _make_image(site, instance_id)
        site.report(f"making the image {image_id}")
        with translating("ec2", f"the image {image_id}"):
            site.wait(
                lambda: _image_state(ec2, image_id) == "available",
                f"the image {image_id}",
                at_most_s=_IMAGE_S,
                every_s=10.0,
            )
            _tag_snapshots(site, image_id)
    finally:
        _end_builders(site)
    return image_id


def _launch(site: ProvisioningContext, script: str) -> str:
    """Launch a builder of the first type, in the first subnet, that there is room for."""
    options = launch_options(site.options.kinds, site.options.subnet_ids, ["on-demand"])
    image_id = _newest_image(site)
    with translating("ec2", "the launch of a builder"):
        for option in options[:-1]:
            try:
                return _launch_as(site, option, image_id, script)
            except Exception as exc:
                if REFUSALS.get(code_of(exc)) not in ("option", "kind", "subnet"):
                    raise
                site.report(f"no room for a builder {option} ({code_of(exc)}); trying another")
        return _launch_as(site, options[-1], image_id, script)


def _launch_as(site: ProvisioningContext, option: LaunchOption, image_id: str, script: str) -> str:
    ec2: Any = site.session.client("ec2")
    tags = site.tags(BUILDER)
    request: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": f"{site.names.deployment}-{BUILDER}-{secrets.token_hex(8)}",
        "LaunchTemplate": {"LaunchTemplateName": site.names.worker, "Version": "$Default"},
        # Not the template's: that may be an image which was baked before.
        "ImageId": image_id,
        "InstanceType": option.kind,
        "SubnetId": option.subnet_id,
        # An image can be made of a stopped instance, not of a terminated one.
        "InstanceInitiatedShutdownBehavior": "stop",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "UserData": script,
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")
        ],
    }
    launched: list[str] = []

    def launch() -> bool:
        try:
            answer = ec2.run_instances(**request)
        except Exception as exc:
            # A role that was made just now is not known to EC2 for some seconds.
            if code_of(exc) == "InvalidParameterValue" and "instance profile" in str(exc).lower():
                return False
            raise
        launched.append(str(answer["Instances"][0]["InstanceId"]))
        return True

    site.wait(launch, "launching a builder", at_most_s=_PROFILE_S, every_s=5.0)
    return launched[0]


def _newest_image(site: ProvisioningContext) -> str:
    ssm: Any = site.session.client("ssm")
    with translating("ssm", IMAGE_PARAMETER):
        return str(ssm.get_parameter(Name=IMAGE_PARAMETER)["Parameter"]["Value"])


def _end_builders(site: ProvisioningContext) -> None:
    ec2 = site.session.client("ec2")
    live = [one for one in list_instances(ec2, site.names.deployment, [BUILDER]) if one.live]
    terminate_instances(ec2, [one.instance_id for one in live])


def _state(site: ProvisioningContext, instance_id: str) -> str:
    found = find_instance(site.session.client("ec2"), instance_id)
    return found.state if found else "pending"


def _says_it_is_done(site: ProvisioningContext, instance_id: str) -> bool:
    s3: Any = site.session.client("s3")
    key = f"{INSTALL_PREFIX}baked/{instance_id}"
    with translating("s3", key):
        try:
            s3.head_object(Bucket=site.outputs_bucket, Key=key)
        except Exception as exc:
            if code_of(exc) in ("404", "NoSuchKey"):
                return False
            raise
    return True


def _make_image(site: ProvisioningContext, instance_id: str) -> str:
    ec2: Any = site.session.client("ec2")
    tags = site.tags("image")
    mark = hashlib.sha256(instance_id.encode()).hexdigest()[:8]
    with translating("ec2", f"an image of {instance_id}"):
        answer = ec2.create_image(
            InstanceId=instance_id,
            Name=f"{site.names.stem}-{mark}",
            Description=f"iraas worker of {site.names.deployment}",
            TagSpecifications=[{"ResourceType": "image", "Tags": tags}],
        )
    return str(answer["ImageId"])


def _tag_snapshots(site: ProvisioningContext, image_id: str) -> None:
    """Tag what the image is made of, so that it is found even when the image is gone."""
    ec2: Any = site.session.client("ec2")
    (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    ec2.create_tags(Resources=snapshots_of(image), Tags=site.tags("image"))


def _image_state(ec2: Any, image_id: str) -> str:
    images = ec2.describe_images(ImageIds=[image_id])["Images"]
    return str(images[0]["State"]) if images else "pending"
