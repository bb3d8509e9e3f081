"""One launch: the request, and what its answer proves.

A launch that was refused did not happen. A launch without an answer may have happened, or may
happen yet: until the signature of its request is out of date. So requests are sent once, by a
client that does not repeat them behind our back, and not later than a bound that everybody can
compute.
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

from iraas.backends.aws.errors import code_of
from iraas.backends.aws.fleet.ec2_instances import Ec2Client
from iraas.backends.aws.fleet.launch_candidates import PROFILE_NOT_READY, REFUSALS
from iraas.backends.aws.fleet.launch_ledger import SlotEntry
from iraas.backends.aws.names import Names

SLOT_TAG = "iraas:slot"
GENERATION_TAG = "iraas:generation"

SEND_WITHIN_S = 60.0
"""A launch is sent at most this long after its ledger entry was written, or not at all."""

LATEST_EFFECT_S = 1800.0
"""After this long a launch that shows no instance has none and will have none: EC2 refuses requests
signed more than 15 minutes ago (RequestExpired), clocks are right to 5 minutes, listings to 5; the
rest is margin (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html)."""

_BURSTABLE = re.compile(r"t[2-9]")
"""Types that earn credits, unlimited by default and then billed
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances-unlimited-mode-concepts.html)."""

_CLIENT_ERRORS = range(400, 500)

_send_before: ContextVar[float] = ContextVar("_send_before")


@dataclass(frozen=True, slots=True)
class Launched:
    """The instance is there."""

    instance_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """It did not happen and will not. `error` is None when it is about capacity."""

    code: str
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """It may have happened, or may happen yet."""

    why: str


Answer = Launched | Rejected | Unconfirmed


class LaunchTooLateError(Exception):
    """The request was not sent: too long has passed since its ledger entry was written."""


def launch_request(names: Names, role: str, template: str, entry: SlotEntry) -> dict[str, Any]:
    """The RunInstances request of a ledger entry: the same entry always gives the same request."""
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
        "InstanceType": entry.option.kind,
        "SubnetId": entry.option.subnet_id,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tag_list} for kind in ("instance", "volume")
        ],
    }
    if _BURSTABLE.match(entry.option.kind):
        # Otherwise a busy instance of such a type costs more than its price.
        request["CreditSpecification"] = {"CpuCredits": "standard"}
    if entry.option.pricing == "spot":
        request["InstanceMarketOptions"] = {
            "MarketType": "spot",
            "SpotOptions": {
                "SpotInstanceType": "one-time",
                "InstanceInterruptionBehavior": "terminate",
            },
        }
    return request


def send_launch(
    client: Ec2Client, request: dict[str, Any], *, before: float, clock: Callable[[], float]
) -> Answer:
    """Send a request, and once more at once if the answer is lost: the token makes that harmless.

    Args:
        client: A client that does not repeat requests by itself.
        request: What `launch_request` made.
        before: The moment, in seconds since the epoch, after which it must not be sent.
        clock: Gives seconds since the epoch.
    """
    first = _send_once(client, request, before, clock)
    if not isinstance(first, Unconfirmed):
        return first
    second = _send_once(client, request, before, clock)
    # A refusal now says nothing of the first request, which may still be on its way.
    return first if isinstance(second, Rejected) else second


def _send_once(
    client: Ec2Client, request: dict[str, Any], before: float, clock: Callable[[], float]
) -> Answer:
    if clock() > before:
        return Rejected("LaunchTooLate")
    try:
        with _not_after(before):
            answer = client.run_instances(**request)
    except LaunchTooLateError:
        return Rejected("LaunchTooLate")
    except Exception as exc:
        answered = _answer_of_error(exc)
        if answered is None:
            raise
        return answered
    instances = answer.get("Instances") or []
    if not instances:
        return Unconfirmed("the answer names no instance")
    return Launched(instances[0]["InstanceId"])


def _answer_of_error(exc: Exception) -> Answer | None:
    """What an error of the SDK proves; None for any other error."""
    if isinstance(exc, sdk.ClientError):
        return _answer_of_code(exc, exc.response)
    if isinstance(exc, sdk.EndpointConnectionError | sdk.ConnectTimeoutError):
        return Rejected(type(exc).__name__, exc)  # there was no connection to send it on
    if isinstance(exc, sdk.HTTPClientError | ResponseParserError | OSError):
        return Unconfirmed(str(exc) or type(exc).__name__)
    return Rejected(type(exc).__name__, exc) if isinstance(exc, sdk.BotoCoreError) else None


def _answer_of_code(exc: Exception, response: Any) -> Answer:
    code = code_of(exc)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in REFUSALS:
        return Rejected(code)
    if code == "InvalidParameterValue" and "instance profile" in str(exc).lower():
        return Rejected(PROFILE_NOT_READY)
    # These tell of an earlier send that took effect; what became of it, the listing tells.
    if code.startswith("Idempotent") or status not in _CLIENT_ERRORS:
        return Unconfirmed(code or str(exc))
    return Rejected(code, exc)


@contextmanager
def _not_after(moment: float) -> Iterator[None]:
    token = _send_before.set(moment)
    try:
        yield
    finally:
        _send_before.reset(token)


def guard_launches(events: Any, clock: Callable[[], float] = time.time) -> None:
    """Make a client drop launches that come too late, in the last moment before they are sent.

    A process that was paused between its ledger entry and its request would otherwise launch with
    a fresh signature, long after others took its silence for a no. After this check only the
    request with its old signature can be late, and EC2 refuses that one.

    Args:
        events: The client's ``meta.events``.
        clock: Gives seconds since the epoch.
    """

    def check(**_: object) -> None:
        if clock() > _send_before.get(float("inf")):
            raise LaunchTooLateError

    events.register("before-send.ec2.RunInstances", check)
