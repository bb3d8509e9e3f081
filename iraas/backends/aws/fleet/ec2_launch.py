"""A single launch: its request, and what the response proves.

A rejected launch did not happen. A launch without a response may have happened, or may still happen
until the signature of its request expires. Therefore the client sends each request exactly once,
and not after a deadline that every controller can compute.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from iraas.backends.aws.errors import error_code
from iraas.backends.aws.fleet.ec2_instances import Ec2Client
from iraas.backends.aws.fleet.launch_candidates import PROFILE_NOT_READY, REJECTION_SCOPES
from iraas.backends.aws.fleet.launch_ledger import SlotEntry
from iraas.backends.aws.names import Names

SLOT_TAG = "iraas:slot"
GENERATION_TAG = "iraas:generation"

SEND_WITHIN_S = 60.0
"""A launch is sent at most this long after its ledger entry was written, or not at all."""

LATEST_EFFECT_S = 1800.0
"""After this time, a launch without an instance has none and will have none: EC2 rejects requests
signed more than 15 minutes ago (RequestExpired), clock error adds 5 minutes, listing delay 5; the
rest is margin (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html)."""

_BURSTABLE = re.compile(r"t[2-9]")
"""Burstable types: with unlimited credits (the default) they may cost more than their price
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances-unlimited-mode-concepts.html)."""

_CLIENT_ERRORS = range(400, 500)

_deadline: ContextVar[float] = ContextVar("_send_before")


@dataclass(frozen=True, slots=True)
class Launched:
    """The instance exists."""

    instance_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The launch did not and will not happen. `error` is None if capacity is the cause."""

    code: str
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The launch may have happened, or may still happen."""

    reason: str


LaunchResult = Launched | Rejected | Unconfirmed


class LaunchTooLateError(Exception):
    """The request was not sent: its ledger entry is too old."""


def launch_request(names: Names, role: str, template: str, entry: SlotEntry) -> dict[str, Any]:
    """Build the RunInstances request of a ledger entry. Equal entries give equal requests.

    Args:
        names: The deployment's resource names.
        role: The instance's role tag.
        template: The launch template's name.
        entry: The ledger entry.
    """
    tags = names.tags(role) | {
        SLOT_TAG: str(entry.slot),
        GENERATION_TAG: str(entry.generation),
        "Name": f"{names.stem}-{role}-{entry.slot}",
    }
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    request: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": entry.token,
        "LaunchTemplate": {"LaunchTemplateName": template, "Version": "$Default"},
        "InstanceType": entry.candidate.instance_type,
        "SubnetId": entry.candidate.subnet_id,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [
            {"ResourceType": resource_type, "Tags": tag_list}
            for resource_type in ("instance", "volume")
        ],
    }
    if _BURSTABLE.match(entry.candidate.instance_type):
        # Otherwise a busy instance of such a type costs more than its price.
        request["CreditSpecification"] = {"CpuCredits": "standard"}
    if entry.candidate.pricing == "spot":
        request["InstanceMarketOptions"] = {
            "MarketType": "spot",
            "SpotOptions": {
                "SpotInstanceType": "one-time",
                "InstanceInterruptionBehavior": "terminate",
            },
        }
    return request


def send_launch(
    client: Ec2Client, request: dict[str, Any], *, deadline: float, clock: Callable[[], float]
) -> LaunchResult:
    """Send a request, and resend it once if the response is lost; the client token prevents a
    duplicate.

    Args:
        client: EC2 client that does not retry by itself.
        request: The request from `launch_request`.
        deadline: Time after which it must not be sent, in seconds since the epoch.
        clock: Seconds since the epoch.
    """
    first = _send_once(client, request, deadline, clock)
    if not isinstance(first, Unconfirmed):
        return first
    second = _send_once(client, request, deadline, clock)
    # A rejection now proves nothing about the first request, which may still be in transit.
    return first if isinstance(second, Rejected) else second


def _send_once(
    client: Ec2Client, request: dict[str, Any], deadline: float, clock: Callable[[], float]
) -> LaunchResult:
    if clock() > deadline:
        return Rejected("LaunchTooLate")
    try:
        with _send_deadline(deadline):
            response = client.run_instances(**request)
    except LaunchTooLateError:
        return Rejected("LaunchTooLate")
    except Exception as exc:
        result = _result_of_error(exc)
        if result is None:
            raise
        return result
    instances = response.get("Instances") or []
    if not instances:
        return Unconfirmed("the response names no instance")
    return Launched(instances[0]["InstanceId"])


def _result_of_error(exc: Exception) -> LaunchResult | None:
    """Interpret an SDK error as a launch result; None for any other error."""
    if isinstance(exc, sdk.ClientError):
        return _result_of_code(exc, exc.response)
    if isinstance(exc, sdk.EndpointConnectionError | sdk.ConnectTimeoutError):
        return Rejected(type(exc).__name__, exc)  # nothing was sent without a connection
    if isinstance(exc, sdk.HTTPClientError | ResponseParserError | OSError):
        return Unconfirmed(str(exc) or type(exc).__name__)
    return Rejected(type(exc).__name__, exc) if isinstance(exc, sdk.BotoCoreError) else None


def _result_of_code(exc: Exception, response: Any) -> LaunchResult:
    code = error_code(exc)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in REJECTION_SCOPES:
        return Rejected(code)
    if code == "InvalidParameterValue" and "instance profile" in str(exc).lower():
        return Rejected(PROFILE_NOT_READY)
    # An earlier send took effect; the listing will show its instance.
    if code.startswith("Idempotent") or status not in _CLIENT_ERRORS:
        return Unconfirmed(code or str(exc))
    return Rejected(code, exc)


@contextmanager
def _send_deadline(deadline: float) -> Iterator[None]:
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def guard_launches(events: Any, clock: Callable[[], float] = time.time) -> None:
    """Make a client drop late launches immediately before they are sent.

    Otherwise a process that was paused between its ledger entry and its request would launch with a
    fresh signature after other controllers have freed the slot. After this check only the signed
    request itself can be late, and EC2 rejects it then.

    Args:
        events: The client's ``meta.events``.
        clock: Seconds since the epoch.
    """

    def check(**_: object) -> None:
        if clock() > _deadline.get(float("inf")):
            raise LaunchTooLateError

    events.register("before-send.ec2.RunInstances", check)
