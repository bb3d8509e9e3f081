"""A launch template: all that the instances of one role have in common."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.errors import code_of, translating
from iraas.backends.aws.provisioning.resource import ABSENT, Found, ProvisioningContext, tag_map

ROOT_VOLUME_GIB = 8
_MISSING = ("InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound")


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """What a template says that its role decides.

    Attributes:
        image_id: The image, or where to look its id up.
        profile: The instance profile's name.
        group_id: The security group's id.
        kind: The instance type, if the launch does not say it.
        user_data: The script.
    """

    image_id: str
    profile: str
    group_id: str
    kind: str
    user_data: str

    def to_data(self) -> dict[str, Any]:
        """The template's data, as EC2 wants it."""
        return {
            "ImageId": self.image_id,
            "InstanceType": self.kind,
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
class TemplatePart:
    """The launch template of one role.

    Attributes:
        site: Where it is.
        name: Its name.
        role: What it is for, as its tag says.
        facts: Tells what it says; asked only when it is made.
    """

    site: ProvisioningContext
    name: str
    role: str
    facts: Callable[[], TemplateFacts]
    kind: str = "launch template"

    @property
    def _ec2(self) -> Any:
        return self.site.session.client("ec2")

    def find(self) -> Found:
        """Look for it."""
        template = self._template()
        if template is None:
            return ABSENT
        version = template.get("DefaultVersionNumber", "?")
        return self.site.found(tag_map(template.get("Tags")), f"version {version}")

    def make(self) -> None:
        """Make it, or give it a new default version if it says something else. Idempotent."""
        data = self.facts().to_data()
        mark = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
        with translating("ec2", f"the launch template {self.name}"):
            if self._template() is None:
                tags = [{"ResourceType": "launch-template", "Tags": self.site.tags(self.role)}]
                self._ec2.create_launch_template(
                    LaunchTemplateName=self.name,
                    VersionDescription=mark,
                    LaunchTemplateData=data,
                    TagSpecifications=tags,
                )
            elif self._current_mark() != mark:
                answer = self._ec2.create_launch_template_version(
                    LaunchTemplateName=self.name, VersionDescription=mark, LaunchTemplateData=data
                )
                version = answer["LaunchTemplateVersion"]["VersionNumber"]
                self._ec2.modify_launch_template(
                    LaunchTemplateName=self.name, DefaultVersion=str(version)
                )

    def remove(self) -> None:
        """Remove it with all versions; nothing can be launched from it any more. Idempotent."""
        if self._template() is None:
            return
        with translating("ec2", f"the launch template {self.name}"):
            try:
                self._ec2.delete_launch_template(LaunchTemplateName=self.name)
            except Exception as exc:
                if code_of(exc) not in _MISSING:
                    raise

    def _current_mark(self) -> str:
        answer = self._ec2.describe_launch_template_versions(
            LaunchTemplateName=self.name, Versions=["$Default"]
        )
        return str(answer["LaunchTemplateVersions"][0].get("VersionDescription", ""))

    def _template(self) -> dict[str, Any] | None:
        filters = [{"Name": "launch-template-name", "Values": [self.name]}]
        with translating("ec2", f"the launch template {self.name}"):
            found = self._ec2.describe_launch_templates(Filters=filters)["LaunchTemplates"]
        return found[0] if found else None
