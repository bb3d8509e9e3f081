"""How badly `FakeEc2` behaves, and the errors of the SDK that it raises."""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

CAPACITY_CODES = (
    "InsufficientInstanceCapacity",
    "SpotMaxPriceTooLow",
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
    "RequestLimitExceeded",
)
DENIAL_CODES = (
    ("UnauthorizedOperation", 403),
    ("OptInRequired", 401),
    ("InvalidParameterValue", 400),
    ("InvalidLaunchTemplateName.NotFoundException", 400),
    ("InvalidAMIID.NotFound", 400),
    ("ResourceCountExceeded", 400),
)
"""What EC2 refuses a launch with, if not for want of capacity; with their HTTP statuses."""
NO_PROFILE = (
    "Value (fake) for parameter iamInstanceProfile.name is invalid. "
    "Invalid IAM Instance Profile name"
)


@dataclass(frozen=True, slots=True)
class Ec2Faults:
    """How badly it behaves. Chances are in 0..1, for each launch.

    Attributes:
        refuse: There is no capacity.
        deny: It is refused for another reason: a permission, a parameter, a missing template.
        profile_ready_at: Until then, in seconds since the epoch, the instance profile is not known.
        lose_request: The request never arrives; the caller sees a timeout.
        delay_request: The request is carried out up to `latest_effect_s` later; the caller sees a
            timeout now.
        lose_reply: The request is carried out; the caller sees a timeout.
        server_error: The caller sees a 500, carried out or not.
        latest_effect_s: How late a request may be carried out: no later than its signature lasts.
        listing_lag_s: How long a new instance may be unknown to DescribeInstances.
        boot_s: From pending to running.
        shutdown_s: From shutting-down to terminated.
    """

    refuse: float = 0.0
    deny: float = 0.0
    profile_ready_at: float = 0.0
    lose_request: float = 0.0
    delay_request: float = 0.0
    lose_reply: float = 0.0
    server_error: float = 0.0
    latest_effect_s: float = 900.0
    listing_lag_s: float = 0.0
    boot_s: float = 26.0
    shutdown_s: float = 20.0


def error(code: str, operation: str, status: int = 400, text: str = "") -> Exception:
    """An error that EC2 answers with."""
    answer: Any = {
        "Error": {"Code": code, "Message": text or f"{code} (fake)"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, operation)


def timeout() -> Exception:
    """What a caller sees whose request or whose answer is lost."""
    return ReadTimeoutError(endpoint_url="https://ec2.fake")
