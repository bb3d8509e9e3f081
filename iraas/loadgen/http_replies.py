"""Parsing the responses of a web tier. Pure: every response becomes a result."""

import email.utils
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from iraas.core.outcomes import outcome_from_json
from iraas.errors import BackendError, MessageError
from iraas.loadgen.results import Failure, RequestResult, result_of
from iraas.loadgen.sampling import DeploymentLoad

RETRY_S = 1.0
"""Wait after a 429 without a usable Retry-After."""
JITTER = 0.25
"""Clients rejected together retry spread over this additional fraction of their wait."""
MAX_REASON_CHARACTERS = 200
MAX_SECONDS_DIGITS = 9
"""Digits of Retry-After that are read."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete HTTP response; header names are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_busy(self) -> bool:
        """True if the request was rejected temporarily."""
        return self.status == HTTPStatus.TOO_MANY_REQUESTS

    @property
    def retry_after_s(self) -> float:
        """Seconds after which to retry, from Retry-After: a number or a date."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isdecimal():
            return float(text[:MAX_SECONDS_DIGITS]) or RETRY_S
        try:
            then_s = email.utils.parsedate_to_datetime(text).timestamp()
        except (ValueError, OverflowError, TypeError):
            return RETRY_S
        return max(0.0, then_s - time.time())


def with_jitter(seconds: float) -> float:
    """Lengthen a wait randomly, so that clients rejected together do not retry together."""
    return seconds + random.uniform(0, JITTER * seconds)


def read_outcome(reply: HttpReply, sent_name: str) -> RequestResult:
    """Parse a response to ``POST /api/v1/classify``.

    Args:
        reply: The response.
        sent_name: The name of the image that was sent.
    """
    if reply.status != HTTPStatus.OK:
        return error_result(reply)
    try:
        outcome = outcome_from_json(json.loads(reply.body))
    except (ValueError, RecursionError, MessageError) as exc:
        return malformed(reply, str(exc))
    return result_of(outcome, sent_name, status=reply.status)


def read_text(reply: HttpReply, sent_name: str) -> RequestResult:
    """Parse ``name:label``; some servers return the name without its extension.

    Args:
        reply: The response.
        sent_name: The name of the image that was sent.
    """
    if reply.status != HTTPStatus.OK:
        return error_result(reply)
    text = reply.body.decode("utf-8", "replace").strip()
    for known in (sent_name, sent_name.rpartition(".")[0]):
        label = text[len(known) + 1 :].strip()
        if known and label and text.startswith(f"{known}:"):
            return RequestResult(label=label, status=reply.status)
    if ":" not in text:
        return malformed(reply, f"{text[:MAX_REASON_CHARACTERS]!r} is not name:label")
    reason = (
        f"{text[:MAX_REASON_CHARACTERS]!r} was returned for {sent_name[:MAX_REASON_CHARACTERS]!r}"
    )
    return RequestResult(failure=Failure.MISMATCHED, reason=reason, status=reply.status)


def read_load(reply: HttpReply) -> DeploymentLoad:
    """Parse a response to ``GET /api/v1/status``.

    Raises:
        BackendError: It is not a status.
    """
    try:
        if reply.status == HTTPStatus.OK:
            status: Any = json.loads(reply.body)
            queue, workers = status["queue"], status["workers"]
            return DeploymentLoad(
                waiting=int(queue["visible"]) + int(queue["delayed"]),
                in_flight=int(queue["in_flight"]),
                workers=len(workers),
                working=sum(worker["state"] == "running" for worker in workers),
            )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as exc:
        raise BackendError("the web tier returns no readable status") from exc
    raise BackendError(f"the web tier returns no status: {error_result(reply).reason}")


def error_result(reply: HttpReply) -> RequestResult:
    """Convert an unsuccessful response to a result."""
    if reply.is_busy:
        failure = Failure.BUSY
    elif reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        failure = Failure.SERVER
    elif reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        failure = Failure.REFUSED
    else:
        return malformed(reply, "unexpected status")
    reason = f"{reply.status}: {_detail(reply)}".rstrip(" :")
    return RequestResult(failure=failure, reason=reason, status=reply.status)


def malformed(reply: HttpReply, why: str) -> RequestResult:
    """Create the result for an unusable response."""
    return RequestResult(
        failure=Failure.MALFORMED, reason=f"{reply.status}: {why}"[:500], status=reply.status
    )


def _detail(reply: HttpReply) -> str:
    """Return a server's description of an error: the detail of problem+json, or the start of its
    text.
    """
    if reply.status < HTTPStatus.BAD_REQUEST:
        return f"it redirects to {reply.headers.get('Location', 'nowhere')[:MAX_REASON_CHARACTERS]}"
    if "json" in reply.headers.get("Content-Type", ""):
        try:
            return str(json.loads(reply.body)["detail"])[:MAX_REASON_CHARACTERS]
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
    return reply.body[:MAX_REASON_CHARACTERS].decode("utf-8", "replace").strip()
