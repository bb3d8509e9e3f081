"""Results of requests, as their requesters see them."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Protocol, Self

from iraas.core.outcomes import Outcome
from iraas.loadgen.images import LoadedImage


class Failure(StrEnum):
    """The ways in which a request can fail."""

    TIMEOUT = "timeout"
    """No response within the request's timeout."""
    CONNECTION = "connection error"
    """The connection could not be made, or was lost."""
    BUSY = "busy"
    """Rejected (429) until its timeout."""
    SERVER = "server error"
    """A response with a 5xx status, or an error of the queue."""
    REFUSED = "refused"
    """A response with another unsuccessful status."""
    IMAGE = "image failed"
    """Its outcome is a failure: it was processed but not labelled."""
    MALFORMED = "garbled answer"
    """The response cannot be parsed."""
    MISMATCHED = "another's answer"
    """The response belongs to another request."""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """The result of a request.

    Attributes:
        label: The best label; empty for a failure.
        failure: How the request failed; None if it succeeded.
        reason: Why, for people.
        status: The last HTTP status; 0 if there was none.
        retries: How often it was rejected temporarily (429) before.
        request_id: The request's id, if known.
        worker: The worker that labelled it, if known.
    """

    label: str = ""
    failure: Failure | None = None
    reason: str = ""
    status: int = 0
    retries: int = 0
    request_id: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A completed request. Times are in seconds after the start of the run.

    Attributes:
        number: Its index among all requests.
        name: The name of the image.
        expected: The label that it should get; None if unknown.
        due_s: When it was to be sent.
        started_s: When it was sent.
        ended_s: When it was answered, or given up.
        result: Its result.
    """

    number: int
    name: str
    expected: str | None
    due_s: float
    started_s: float
    ended_s: float
    result: RequestResult

    @property
    def latency_s(self) -> float:
        """Latency since the request was due.

        A request that could not be sent in time because others hung has waited all the same.
        """
        return self.ended_s - self.due_s

    @property
    def is_right(self) -> bool | None:
        """True if the label is the expected one; None if the request failed or no label is
        expected.
        """
        if self.result.failure is not None or self.expected is None:
            return None
        return self.result.label == self.expected

    def to_json(self) -> dict[str, Any]:
        """Return the request as a flat JSON object."""
        times = {name: round(getattr(self, name), 6) for name in ("due_s", "started_s", "ended_s")}
        return {
            "number": self.number,
            "name": self.name,
            **times,
            "latency_s": round(self.latency_s, 6),
            "expected": self.expected,
            "right": self.is_right,
            **asdict(self.result),
        }


class Target(Protocol):
    """A target of requests. One event loop uses it, within an ``async with`` block."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def classify(self, image: LoadedImage, until: float) -> RequestResult:
        """Send an image and wait for its result. Failures are results, not exceptions.

        Args:
            image: The image to send.
            until: When the caller cancels the request, in the event loop's time. The target may
                give up earlier if waiting longer is pointless.
        """
        ...


def result_of(outcome: Outcome, sent_name: str, *, status: int = 0) -> RequestResult:
    """Convert an outcome to the result of a request.

    Args:
        outcome: The outcome.
        sent_name: The name of the image that was sent.
        status: The HTTP status.
    """
    result = partial(
        RequestResult,
        status=status,
        request_id=outcome.request_id,
        worker=outcome.worker,
    )
    if outcome.name != sent_name:
        reason = f"{outcome.name[:80]!r} was returned for {sent_name[:80]!r}"
        return result(failure=Failure.MISMATCHED, reason=reason)
    if outcome.prediction is None:
        return result(failure=Failure.IMAGE, reason=outcome.reason)
    return result(label=outcome.prediction.label)
