"""Reading what a web tier answers. Pure: whatever arrives, it becomes an answer."""

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
from iraas.loadgen.answers import Answer, Failure, answer_of
from iraas.loadgen.sampling import Load

RETRY_S = 1.0
"""What a client waits that is turned away without being told for how long."""
JITTER = 0.25
"""Clients turned away together come back spread over so much more of the time they were given."""
LONGEST_REASON = 200
LONGEST_SECONDS = 9
"""Digits of a number of seconds that are believed."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An HTTP answer, read to its end; header names are found whatever their case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_busy(self) -> bool:
        """True if the request was turned away for a while."""
        return self.status == HTTPStatus.TOO_MANY_REQUESTS

    @property
    def retry_after_s(self) -> float:
        """After how many seconds to come again: the server may say a number or a date."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isdecimal():
            return float(text[:LONGEST_SECONDS]) or RETRY_S
        try:
            then_s = email.utils.parsedate_to_datetime(text).timestamp()
        except (ValueError, OverflowError, TypeError):
            return RETRY_S
        return max(0.0, then_s - time.time())


def spread(seconds: float) -> float:
    """A wait of a little more than that, another one for each who is told to wait as long."""
    return seconds + random.uniform(0, JITTER * seconds)


def read_outcome(reply: HttpReply, sent_name: str) -> Answer:
    """Read what came of ``POST /api/v1/classify``."""
    if reply.status != HTTPStatus.OK:
        return refusal(reply)
    try:
        outcome = outcome_from_json(json.loads(reply.body))
    except (ValueError, RecursionError, MessageError) as exc:
        return garbled(reply, str(exc))
    return answer_of(outcome, sent_name, status=reply.status)


def read_text(reply: HttpReply, sent_name: str) -> Answer:
    """Read ``name:label``; some servers give the name without its ending."""
    if reply.status != HTTPStatus.OK:
        return refusal(reply)
    text = reply.body.decode("utf-8", "replace").strip()
    for known in (sent_name, sent_name.rpartition(".")[0]):
        label = text[len(known) + 1 :].strip()
        if known and label and text.startswith(f"{known}:"):
            return Answer(label=label, status=reply.status)
    if ":" not in text:
        return garbled(reply, f"{text[:LONGEST_REASON]!r} is not name:label")
    reason = f"{text[:LONGEST_REASON]!r} was answered to who sent {sent_name[:LONGEST_REASON]!r}"
    return Answer(failure=Failure.MISMATCHED, reason=reason, status=reply.status)


def read_load(reply: HttpReply) -> Load:
    """Read what came of ``GET /api/v1/status``.

    Raises:
        BackendError: It tells no status.
    """
    try:
        if reply.status == HTTPStatus.OK:
            status: Any = json.loads(reply.body)
            queue, workers = status["queue"], status["workers"]
            return Load(
                waiting=int(queue["visible"]) + int(queue["delayed"]),
                in_flight=int(queue["in_flight"]),
                workers=len(workers),
                working=sum(one["state"] == "running" for one in workers),
            )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as exc:
        raise BackendError("the web tier tells no status that can be read") from exc
    raise BackendError(f"the web tier tells no status: {refusal(reply).reason}")


def refusal(reply: HttpReply) -> Answer:
    """What an answer means that is no success."""
    if reply.is_busy:
        failure = Failure.BUSY
    elif reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        failure = Failure.SERVER
    elif reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        failure = Failure.REFUSED
    else:
        return garbled(reply, "this status means nothing here")
    reason = f"{reply.status}: {_detail(reply)}".rstrip(" :")
    return Answer(failure=failure, reason=reason, status=reply.status)


def garbled(reply: HttpReply, why: str) -> Answer:
    """An answer that cannot be used."""
    return Answer(
        failure=Failure.MALFORMED, reason=f"{reply.status}: {why}"[:500], status=reply.status
    )


def _detail(reply: HttpReply) -> str:
    """What a server says of an error: the detail of problem+json, or how its text begins."""
    if reply.status < HTTPStatus.BAD_REQUEST:
        return f"it points to {reply.headers.get('Location', 'nowhere')[:LONGEST_REASON]}"
    if "json" in reply.headers.get("Content-Type", ""):
        try:
            return str(json.loads(reply.body)["detail"])[:LONGEST_REASON]
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
    return reply.body[:LONGEST_REASON].decode("utf-8", "replace").strip()
