"""AWS's service-linked role for Spot instances: created if missing, shared by the account, kept."""

from iraas.backends.aws.errors import error_code, translate_errors
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.errors import PermissionDeniedError

SPOT_ROLE = "AWSServiceRoleForEC2Spot"


def ensure_spot_role(context: ProvisioningContext) -> None:
    """Create the role, which an account's first Spot request requires. Idempotent.

    A missing permission is only reported; on-demand instances do not need the role.
    """
    try:
        with translate_errors("iam", f"the role {SPOT_ROLE}"):
            if has_spot_role(context):
                return
            try:
                context.iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
            except Exception as exc:
                if error_code(exc) not in ("InvalidInput", "EntityAlreadyExists"):
                    raise
                return
    except PermissionDeniedError as exc:
        context.report(f"{exc}; until it is created, instances are launched on demand")
        return
    context.report(
        f"created the service-linked role {SPOT_ROLE}; it belongs to the account and is kept"
    )


def has_spot_role(context: ProvisioningContext) -> bool:
    """Return whether the account has the role."""
    with translate_errors("iam", f"the role {SPOT_ROLE}"):
        try:
            context.iam.get_role(RoleName=SPOT_ROLE)
        except Exception as exc:
            if error_code(exc) == "NoSuchEntity":
                return False
            raise
    return True
