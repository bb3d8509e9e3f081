"""A role with its instance profile, under one name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.iam_policies import Statement, policy_document, to_text, trust_policy
from iraas.backends.aws.stack.parts import ABSENT, Found, Site, tag_map
from iraas.backends.aws.translation import code_of, translating

POLICY_NAME = "iraas"
_MISSING = "NoSuchEntity"


@dataclass(frozen=True, slots=True)
class RolePart:
    """What instances of one role may do, and the profile by which they get it.

    Attributes:
        site: Where it is.
        name: The name of the role and of the profile.
        role: What it is for, as its tag says.
        statements: What it may do.
    """

    site: Site
    name: str
    role: str
    statements: Sequence[Statement]
    kind: str = "role"

    @property
    def _iam(self) -> Any:
        return self.site.session.client("iam")

    def find(self) -> Found:
        """Look for the role, and for the profile if there is no role."""
        with translating("iam", f"the role {self.name}"):
            role = self._role()
            if role is not None:
                tags = tag_map(role.get("Tags"))
                return self.site.found(tags, f"with its profile; {len(self.statements)} rights")
            profile = self._profile()
            if profile is None:
                return ABSENT
            return self.site.found(tag_map(profile.get("Tags")), "a profile without its role")

    def make(self) -> None:
        """Make both, and write the policy anew. Idempotent."""
        iam, tags = self._iam, self.site.tags(self.role)
        with translating("iam", f"the role {self.name}"):
            trust = to_text(trust_policy())
            if self._role() is None:
                iam.create_role(
                    RoleName=self.name,
                    AssumeRolePolicyDocument=trust,
                    Description=f"iraas: {self.role} of {self.site.names.deployment}",
                    Tags=tags,
                )
            else:
                iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=trust)
            iam.put_role_policy(
                RoleName=self.name,
                PolicyName=POLICY_NAME,
                PolicyDocument=to_text(policy_document(self.statements)),
            )
            profile = self._profile()
            if profile is None:
                answer = iam.create_instance_profile(InstanceProfileName=self.name, Tags=tags)
                profile = answer["InstanceProfile"]
            if not profile.get("Roles"):
                iam.add_role_to_instance_profile(InstanceProfileName=self.name, RoleName=self.name)

    def remove(self) -> None:
        """Remove both, with whatever policies the role has been given. Idempotent."""
        iam = self._iam
        with translating("iam", f"the role {self.name}"):
            profile = self._profile()
            if profile is not None:
                for one in profile.get("Roles", []):
                    iam.remove_role_from_instance_profile(
                        InstanceProfileName=self.name, RoleName=one["RoleName"]
                    )
                iam.delete_instance_profile(InstanceProfileName=self.name)
            if self._role() is None:
                return
            for policy in iam.list_role_policies(RoleName=self.name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=self.name, PolicyName=policy)
            attached = iam.list_attached_role_policies(RoleName=self.name)["AttachedPolicies"]
            for policy in attached:
                iam.detach_role_policy(RoleName=self.name, PolicyArn=policy["PolicyArn"])
            iam.delete_role(RoleName=self.name)

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
