"""AMI baking: an image with everything installed, so that workers start without installing."""

import hashlib
import secrets
from typing import Any

from iraas.backends.aws.errors import error_code, translate_errors
from iraas.backends.aws.fleet.ec2_instances import (
    find_instance,
    list_instances,
    terminate_instances,
)
from iraas.backends.aws.fleet.launch_candidates import (
    REJECTION_SCOPES,
    LaunchCandidate,
    launch_candidates,
)
from iraas.backends.aws.iam.role_permissions import IMAGE_PARAMETER
from iraas.backends.aws.names import INSTALL_PREFIX
from iraas.backends.aws.provisioning.deployment import user_data
from iraas.backends.aws.provisioning.install_files import Artifacts
from iraas.backends.aws.provisioning.orphaned_resources import snapshots_of
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.errors import BackendError

BUILDER = "builder"
_INSTALL_TIMEOUT_S = 1800.0
_IMAGE_TIMEOUT_S = 1800.0
_PROFILE_TIMEOUT_S = 90.0


def bake_image(context: ProvisioningContext, artifacts: Artifacts) -> str:
    """Launch a builder instance, let it install and stop, and create an AMI from it.

    The builder is always terminated at the end; one left by an interrupted call, at the start.

    Args:
        context: The provisioning context.
        artifacts: The files to install.

    Returns:
        The AMI's id.

    Raises:
        BackendError: The installation failed.
        WaitTimeoutError: A step took too long.
    """
    _terminate_builders(context)
    try:
        instance_id = _launch(context, user_data(context, artifacts, "bake"))
        context.report(f"the builder {instance_id} is installing; this takes some minutes")
        context.wait(
            lambda: _state(context, instance_id) in ("stopped", "terminated"),
            "installing",
            timeout_s=_INSTALL_TIMEOUT_S,
            poll_interval_s=5.0,
        )
        if not _is_installed(context, instance_id):
            raise BackendError(
                f"the installation in the builder {instance_id} failed",
                remedy=f"See why with: aws ec2 get-console-output --instance-id {instance_id}",
            )
        image_id = _make_image(context, instance_id)
        context.report(f"creating the image {image_id}")
        with translate_errors("ec2", f"the image {image_id}"):
            context.wait(
                lambda: _image_state(context.ec2, image_id) == "available",
                f"the image {image_id}",
                timeout_s=_IMAGE_TIMEOUT_S,
                poll_interval_s=10.0,
            )
            _tag_snapshots(context, image_id)
    finally:
        _terminate_builders(context)
    return image_id


def _launch(context: ProvisioningContext, script: str) -> str:
    """Launch a builder of the first type and subnet with capacity."""
    candidates = launch_candidates(
        context.config.instance_types, context.config.subnet_ids, ["on-demand"]
    )
    image_id = _latest_base_image(context)
    with translate_errors("ec2", "the launch of a builder"):
        for candidate in candidates[:-1]:
            try:
                return _launch_as(context, candidate, image_id, script)
            except Exception as exc:
                if REJECTION_SCOPES.get(error_code(exc)) not in (
                    "candidate",
                    "instance_type",
                    "subnet",
                ):
                    raise
                context.report(
                    f"no capacity for a builder {candidate} ({error_code(exc)}); trying another"
                )
        return _launch_as(context, candidates[-1], image_id, script)


def _launch_as(
    context: ProvisioningContext, candidate: LaunchCandidate, image_id: str, script: str
) -> str:
    tags = context.tags(BUILDER)
    request: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": f"{context.names.deployment}-{BUILDER}-{secrets.token_hex(8)}",
        "LaunchTemplate": {"LaunchTemplateName": context.names.worker, "Version": "$Default"},
        # Not the template's, which may be an AMI that was baked before.
        "ImageId": image_id,
        "InstanceType": candidate.instance_type,
        "SubnetId": candidate.subnet_id,
        # An AMI can be created from a stopped instance, but not from a terminated one.
        "InstanceInitiatedShutdownBehavior": "stop",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "UserData": script,
        "TagSpecifications": [
            {"ResourceType": resource_type, "Tags": tags}
            for resource_type in ("instance", "volume")
        ],
    }
    launched: list[str] = []

    def launch() -> bool:
        try:
            response = context.ec2.run_instances(**request)
        except Exception as exc:
            # EC2 does not know a new role for some seconds.
            if (
                error_code(exc) == "InvalidParameterValue"
                and "instance profile" in str(exc).lower()
            ):
                return False
            raise
        launched.append(str(response["Instances"][0]["InstanceId"]))
        return True

    context.wait(launch, "launching a builder", timeout_s=_PROFILE_TIMEOUT_S, poll_interval_s=5.0)
    return launched[0]


def _latest_base_image(context: ProvisioningContext) -> str:
    ssm: Any = context.session.client("ssm")
    with translate_errors("ssm", IMAGE_PARAMETER):
        return str(ssm.get_parameter(Name=IMAGE_PARAMETER)["Parameter"]["Value"])


def _terminate_builders(context: ProvisioningContext) -> None:
    live = [
        instance
        for instance in list_instances(context.ec2, context.names.deployment, [BUILDER])
        if instance.live
    ]
    terminate_instances(context.ec2, [instance.instance_id for instance in live])


def _state(context: ProvisioningContext, instance_id: str) -> str:
    found = find_instance(context.ec2, instance_id)
    return found.state if found else "pending"


def _is_installed(context: ProvisioningContext, instance_id: str) -> bool:
    key = f"{INSTALL_PREFIX}baked/{instance_id}"
    with translate_errors("s3", key):
        try:
            context.s3.head_object(Bucket=context.outputs_bucket, Key=key)
        except Exception as exc:
            if error_code(exc) in ("404", "NoSuchKey"):
                return False
            raise
    return True


def _make_image(context: ProvisioningContext, instance_id: str) -> str:
    tags = context.tags("image")
    digest = hashlib.sha256(instance_id.encode()).hexdigest()[:8]
    with translate_errors("ec2", f"an image of {instance_id}"):
        response = context.ec2.create_image(
            InstanceId=instance_id,
            Name=f"{context.names.stem}-{digest}",
            Description=f"iraas worker of {context.names.deployment}",
            TagSpecifications=[{"ResourceType": "image", "Tags": tags}],
        )
    return str(response["ImageId"])


def _tag_snapshots(context: ProvisioningContext, image_id: str) -> None:
    """Tag the AMI's snapshots, so that they are found even without the AMI."""
    (image,) = context.ec2.describe_images(ImageIds=[image_id])["Images"]
    context.ec2.create_tags(Resources=snapshots_of(image), Tags=context.tags("image"))


def _image_state(ec2: Any, image_id: str) -> str:
    images = ec2.describe_images(ImageIds=[image_id])["Images"]
    return str(images[0]["State"]) if images else "pending"
