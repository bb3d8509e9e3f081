"""A role with its instance profile, under one name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.errors import code_of, translating
from iraas.backends.aws.iam.policies import Statement, policy_document, to_text, trust_policy
from iraas.backends.aws.provisioning.resource import (
    ABSENT,
    Found,
    ProvisioningContext,
    refuse_foreign,
    tag_map,
)

ROLE_AND_PROFILE = 2
POLICY_NAME = "iraas"
_MISSING = "NoSuchEntity"
_SETTLING = (_MISSING, "ConcurrentModification")
"""What IAM, which is the same everywhere only after a while, says of what was made just now
(https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency)."""


@dataclass(frozen=True, slots=True)
class RolePart:
    """What instances of one role may do, and the profile by which they get it.

    Attributes:
        site: Where it is.
        name: The name of the role and of the profile.
        role: What it is for, as its tag says.
        statements: What it may do.
    """

    site: ProvisioningContext
    name: str
    role: str
    statements: Sequence[Statement]
    kind: str = "role"

    @property
    def _iam(self) -> Any:
        return self.site.session.client("iam")

    def find(self) -> Found:
        """Look for both. It is ours if one of them is, and foreign if none is."""
        with translating("iam", f"the role {self.name}"):
            there = [one for one in (self._role(), self._profile()) if one is not None]
        if not there:
            return ABSENT
        found = [self._judge(one) for one in there]
        foreign = [one for one in found if one.state == "foreign"]
        if len(foreign) == len(found):
            return foreign[0]
        both = len(found) == ROLE_AND_PROFILE
        detail = "with its profile" if both else "one of role and profile is missing"
        if foreign:
            detail = f"the other of role and profile is not ours: {foreign[0].detail}"
        return Found("ours", f"{detail}; {len(self.statements)} rights")

    def make(self) -> None:
        """Make both, and write the policy anew. Idempotent.

        Raises:
            ConfigurationError: One of them is there and not ours.
        """
        with translating("iam", f"the role {self.name}"):
            role, profile = self._role(), self._profile()
            for one in (role, profile):
                if one is not None:
                    refuse_foreign(self, self._judge(one))
            self._make_role(is_new=role is None)
            self._make_profile(profile)

    def remove(self) -> None:
        """Remove both as far as they are ours, with whatever policies the role has been given.
        Idempotent.
        """
        iam = self._iam
        with translating("iam", f"the role {self.name}"):
            profile = self._profile()
            if profile is not None and self._judge(profile).state == "ours":
                for one in profile.get("Roles", []):
                    iam.remove_role_from_instance_profile(
                        InstanceProfileName=self.name, RoleName=one["RoleName"]
                    )
                iam.delete_instance_profile(InstanceProfileName=self.name)
            role = self._role()
            if role is None or self._judge(role).state != "ours":
                return
            for policy in iam.list_role_policies(RoleName=self.name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=self.name, PolicyName=policy)
            attached = iam.list_attached_role_policies(RoleName=self.name)["AttachedPolicies"]
            for policy in attached:
                iam.detach_role_policy(RoleName=self.name, PolicyArn=policy["PolicyArn"])
            iam.delete_role(RoleName=self.name)

    def _judge(self, one: dict[str, Any]) -> Found:
        return self.site.found(tag_map(one.get("Tags")))

    def _make_role(self, *, is_new: bool) -> None:
        trust = to_text(trust_policy())
        if is_new:
            self._iam.create_role(
                RoleName=self.name,
                AssumeRolePolicyDocument=trust,
                Description=f"iraas: {self.role} of {self.site.names.deployment}",
                Tags=self.site.tags(self.role),
            )
        else:
            self._iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=trust)
        document = to_text(policy_document(self.statements))
        self._settling(
            lambda: self._iam.put_role_policy(
                RoleName=self.name, PolicyName=POLICY_NAME, PolicyDocument=document
            )
        )

    def _make_profile(self, profile: dict[str, Any] | None) -> None:
        if profile is None:
            answer = self._iam.create_instance_profile(
                InstanceProfileName=self.name, Tags=self.site.tags(self.role)
            )
            profile = answer["InstanceProfile"]
        if not profile.get("Roles"):
            self._settling(
                lambda: self._iam.add_role_to_instance_profile(
                    InstanceProfileName=self.name, RoleName=self.name
                )
            )

    def _settling(self, call: Callable[[], Any]) -> None:
        self.site.settling(call, _SETTLING)

    def _role(self) -> dict[str, Any] | None:
        try:
            role: dict[str, Any] = self._iam.get_role(RoleName=self.name)["Role"]
        except Exception as exc:
            if code_of(exc) != _MISSING:
                raise
            return None
        return role

    def _profile(self) -> dict[str, Any] | None:
        try:
            answer = self._iam.get_instance_profile(InstanceProfileName=self.name)
        except Exception as exc:
            if code_of(exc) != _MISSING:
                raise
            return None
        profile: dict[str, Any] = answer["InstanceProfile"]
        return profile
