"""Launch templates: the common settings of all instances of one role."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.errors import error_code, translate_errors
from iraas.backends.aws.provisioning.resource import (
    ABSENT,
    ProvisioningContext,
    ResourceStatus,
    tag_map,
)

ROOT_VOLUME_GIB = 8
_MISSING = ("InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound")


@dataclass(frozen=True, slots=True)
class LaunchTemplateSpec:
    """Role-specific contents of a launch template.

    Attributes:
        image_id: The AMI, or a reference to look its id up.
        profile: The instance profile's name.
        group_id: The security group's id.
        instance_type: The default instance type.
        user_data: The startup script.
    """

    image_id: str
    profile: str
    group_id: str
    instance_type: str
    user_data: str

    def to_data(self) -> dict[str, Any]:
        """The template's data, in EC2's format."""
        return {
            "ImageId": self.image_id,
            "InstanceType": self.instance_type,
            "IamInstanceProfile": {"Name": self.profile},
            "SecurityGroupIds": [self.group_id],
            "InstanceInitiatedShutdownBehavior": "terminate",
            "MetadataOptions": {
                "HttpEndpoint": "enabled",
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": 1,
            },
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/xvda",
                    "Ebs": {
                        "VolumeSize": ROOT_VOLUME_GIB,
                        "VolumeType": "gp3",
                        "Encrypted": True,
                        "DeleteOnTermination": True,
                    },
                }
            ],
            "UserData": base64.b64encode(self.user_data.encode()).decode(),
        }


@dataclass(frozen=True, slots=True)
class LaunchTemplateResource:
    """The launch template of one role.

    Attributes:
        context: The provisioning context.
        name: Its name.
        role: Its purpose, as in its tag.
        spec: Returns its contents; called only to create or update it.
    """

    context: ProvisioningContext
    name: str
    role: str
    spec: Callable[[], LaunchTemplateSpec]
    kind: str = "launch template"

    def find(self) -> ResourceStatus:
        """Look it up."""
        template = self._template()
        if template is None:
            return ABSENT
        version = template.get("DefaultVersionNumber", "?")
        return self.context.status_of(tag_map(template.get("Tags")), f"version {version}")

    def make(self) -> None:
        """Create it, or add a new default version if its contents have changed. Idempotent."""
        data = self.spec().to_data()
        digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
        with translate_errors("ec2", f"the launch template {self.name}"):
            if self._template() is None:
                tags = [{"ResourceType": "launch-template", "Tags": self.context.tags(self.role)}]
                self.context.ec2.create_launch_template(
                    LaunchTemplateName=self.name,
                    VersionDescription=digest,
                    LaunchTemplateData=data,
                    TagSpecifications=tags,
                )
            elif self._current_digest() != digest:
                response = self.context.ec2.create_launch_template_version(
                    LaunchTemplateName=self.name, VersionDescription=digest, LaunchTemplateData=data
                )
                version = response["LaunchTemplateVersion"]["VersionNumber"]
                self.context.ec2.modify_launch_template(
                    LaunchTemplateName=self.name, DefaultVersion=str(version)
                )

    def remove(self) -> None:
        """Remove it with all versions, so that nothing can be launched from it. Idempotent."""
        if self._template() is None:
            return
        with translate_errors("ec2", f"the launch template {self.name}"):
            try:
                self.context.ec2.delete_launch_template(LaunchTemplateName=self.name)
            except Exception as exc:
                if error_code(exc) not in _MISSING:
                    raise

    def _current_digest(self) -> str:
        response = self.context.ec2.describe_launch_template_versions(
            LaunchTemplateName=self.name, Versions=["$Default"]
        )
        return str(response["LaunchTemplateVersions"][0].get("VersionDescription", ""))

    def _template(self) -> dict[str, Any] | None:
        filters = [{"Name": "launch-template-name", "Values": [self.name]}]
        with translate_errors("ec2", f"the launch template {self.name}"):
            found = self.context.ec2.describe_launch_templates(Filters=filters)["LaunchTemplates"]
        return found[0] if found else None
