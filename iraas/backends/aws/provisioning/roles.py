"""An IAM role with its instance profile, under one name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.errors import error_code, translate_errors
from iraas.backends.aws.iam.policies import Statement, policy_document, to_text, trust_policy
from iraas.backends.aws.provisioning.resource import (
    ABSENT,
    ProvisioningContext,
    ResourceStatus,
    refuse_unmanaged,
    tag_map,
)

POLICY_NAME = "iraas"
_MISSING = "NoSuchEntity"
_INCONSISTENT_CODES = (_MISSING, "ConcurrentModification")
"""IAM's error codes for a recent change that is not visible yet
(https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency)."""


@dataclass(frozen=True, slots=True)
class RoleResource:
    """The permissions of instances of one role, and their instance profile.

    Attributes:
        context: The provisioning context.
        name: Name of the role and of the profile.
        role: Its purpose, as in its tag.
        statements: Its permissions.
    """

    context: ProvisioningContext
    name: str
    role: str
    statements: Sequence[Statement]
    kind: str = "role"

    def find(self) -> ResourceStatus:
        """Look up both. Managed if one of them is, unmanaged if none is."""
        with translate_errors("iam", f"the role {self.name}"):
            existing = [item for item in (self._role(), self._profile()) if item is not None]
        if not existing:
            return ABSENT
        found = [self._status_of(item) for item in existing]
        unmanaged = [item for item in found if item.state == "unmanaged"]
        if len(unmanaged) == len(found):
            return unmanaged[0]
        detail = "with its profile"
        if len(found) == 1:
            detail = "either the role or the profile is missing"
        if unmanaged:
            detail = f"either the role or the profile is unmanaged: {unmanaged[0].detail}"
        return ResourceStatus("managed", f"{detail}; {len(self.statements)} permissions")

    def make(self) -> None:
        """Create both, and write the policy. Idempotent.

        Raises:
            ConfigurationError: One of them exists and is unmanaged.
        """
        with translate_errors("iam", f"the role {self.name}"):
            role, profile = self._role(), self._profile()
            for item in (role, profile):
                if item is not None:
                    refuse_unmanaged(self, self._status_of(item))
            self._make_role(is_new=role is None)
            self._make_profile(profile)

    def remove(self) -> None:
        """Remove both if managed, including any policies attached to the role. Idempotent."""
        iam = self.context.iam
        with translate_errors("iam", f"the role {self.name}"):
            profile = self._profile()
            if profile is not None and self._status_of(profile).state == "managed":
                for attached_role in profile.get("Roles", []):
                    iam.remove_role_from_instance_profile(
                        InstanceProfileName=self.name, RoleName=attached_role["RoleName"]
                    )
                iam.delete_instance_profile(InstanceProfileName=self.name)
            role = self._role()
            if role is None or self._status_of(role).state != "managed":
                return
            for policy in iam.list_role_policies(RoleName=self.name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=self.name, PolicyName=policy)
            attached = iam.list_attached_role_policies(RoleName=self.name)["AttachedPolicies"]
            for policy in attached:
                iam.detach_role_policy(RoleName=self.name, PolicyArn=policy["PolicyArn"])
            iam.delete_role(RoleName=self.name)

    def _status_of(self, item: dict[str, Any]) -> ResourceStatus:
        return self.context.status_of(tag_map(item.get("Tags")))

    def _make_role(self, *, is_new: bool) -> None:
        trust = to_text(trust_policy())
        if is_new:
            self.context.iam.create_role(
                RoleName=self.name,
                AssumeRolePolicyDocument=trust,
                Description=f"iraas: {self.role} of {self.context.names.deployment}",
                Tags=self.context.tags(self.role),
            )
        else:
            self.context.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=trust)
        document = to_text(policy_document(self.statements))
        self._retry_until_consistent(
            lambda: self.context.iam.put_role_policy(
                RoleName=self.name, PolicyName=POLICY_NAME, PolicyDocument=document
            )
        )

    def _make_profile(self, profile: dict[str, Any] | None) -> None:
        if profile is None:
            response = self.context.iam.create_instance_profile(
                InstanceProfileName=self.name, Tags=self.context.tags(self.role)
            )
            profile = response["InstanceProfile"]
        if not profile.get("Roles"):
            self._retry_until_consistent(
                lambda: self.context.iam.add_role_to_instance_profile(
                    InstanceProfileName=self.name, RoleName=self.name
                )
            )

    def _retry_until_consistent(self, call: Callable[[], Any]) -> None:
        self.context.retry_until_consistent(call, _INCONSISTENT_CODES)

    def _role(self) -> dict[str, Any] | None:
        try:
            role: dict[str, Any] = self.context.iam.get_role(RoleName=self.name)["Role"]
        except Exception as exc:
            if error_code(exc) != _MISSING:
                raise
            return None
        return role

    def _profile(self) -> dict[str, Any] | None:
        try:
            response = self.context.iam.get_instance_profile(InstanceProfileName=self.name)
        except Exception as exc:
            if error_code(exc) != _MISSING:
                raise
            return None
        profile: dict[str, Any] = response["InstanceProfile"]
        return profile
