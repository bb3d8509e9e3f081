"""AWS's own role for Spot instances. It belongs to the account: made if missing, never removed."""

from typing import Any

from iraas.backends.aws.errors import code_of, translating
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.errors import PermissionDeniedError

SPOT_ROLE = "AWSServiceRoleForEC2Spot"


def ensure_spot_role(site: ProvisioningContext) -> None:
    """Make the role, which the first Spot request of an account needs. Idempotent.

    Whoever may not make it is told; on-demand instances do without.
    """
    iam: Any = site.session.client("iam")
    try:
        with translating("iam", f"the role {SPOT_ROLE}"):
            if has_spot_role(site):
                return
            try:
                iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
            except Exception as exc:
                if code_of(exc) not in ("InvalidInput", "EntityAlreadyExists"):
                    raise
                return
    except PermissionDeniedError as exc:
        site.report(f"{exc}; until somebody makes it, instances are launched on demand")
        return
    site.report(f"made AWS's own role {SPOT_ROLE}: it is the account's, and stays")


def has_spot_role(site: ProvisioningContext) -> bool:
    """Tell whether the account has the role."""
    iam: Any = site.session.client("iam")
    with translating("iam", f"the role {SPOT_ROLE}"):
        try:
            iam.get_role(RoleName=SPOT_ROLE)
        except Exception as exc:
            if code_of(exc) == "NoSuchEntity":
                return False
            raise
    return True
