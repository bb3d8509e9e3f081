"""What came of a request, as its requester saw it."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Protocol, Self

from iraas.core.outcomes import Outcome
from iraas.loadgen.images import LoadedPicture


class Failure(StrEnum):
    """How a request can fail."""

    TIMEOUT = "timeout"
    """No answer within the time that a request has."""
    CONNECTION = "connection error"
    """The connection could not be made, or broke."""
    BUSY = "busy"
    """Turned away (429) until its time was over."""
    SERVER = "server error"
    """Answered with a 5xx, or the queue failed."""
    REFUSED = "refused"
    """Answered with another status that is no success."""
    IMAGE = "image failed"
    """Its outcome is a failure: it was processed and could not be labelled."""
    MALFORMED = "garbled answer"
    """The answer cannot be read."""
    MISMATCHED = "another's answer"
    """The answer belongs to another request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a requester was told.

    Attributes:
        label: The best label; empty for a failure.
        failure: How it failed; None if it did not.
        reason: Why, for people.
        status: The last HTTP status; 0 if there was none.
        retries: How often it was turned away for a while (429) before.
        request_id: The request's id, as far as it was told.
        worker: Who labelled it, as far as it was told.
    """

    label: str = ""
    failure: Failure | None = None
    reason: str = ""
    status: int = 0
    retries: int = 0
    request_id: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A request that has ended. Times are in seconds after the start of the run.

    Attributes:
        number: Its place among all requests, from zero.
        name: The picture that was sent.
        expected: The label that it should get; None if nobody said.
        due_s: When it was to be sent.
        started_s: When it was sent.
        ended_s: When it was answered, or given up.
        answer: What came of it.
    """

    number: int
    name: str
    expected: str | None
    due_s: float
    started_s: float
    ended_s: float
    answer: Answer

    @property
    def latency_s(self) -> float:
        """How long its requester waited, from when it was due: a request that could not be sent
        in time because others hung has waited all the same.
        """
        return self.ended_s - self.due_s

    @property
    def is_right(self) -> bool | None:
        """Whether the label is the expected one; None if it failed, or nobody said."""
        if self.answer.failure is not None or self.expected is None:
            return None
        return self.answer.label == self.expected

    def to_json(self) -> dict[str, Any]:
        """The request as a flat JSON object."""
        times = {name: round(getattr(self, name), 6) for name in ("due_s", "started_s", "ended_s")}
        return {
            "number": self.number,
            "name": self.name,
            **times,
            "latency_s": round(self.latency_s, 6),
            "expected": self.expected,
            "right": self.is_right,
            **asdict(self.answer),
        }


class Target(Protocol):
    """Where requests go. One event loop uses it, between ``async with`` and its end."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def classify(self, picture: LoadedPicture, until: float) -> Answer:
        """Send a picture and wait for what comes of it. Failures are answers, not exceptions.

        The caller cancels it at `until`, a time of the event loop; it is told so that it can
        leave off before where waiting longer makes no sense.
        """
        ...


def answer_of(outcome: Outcome, sent_name: str, *, status: int = 0) -> Answer:
    """What an outcome tells the requester of a picture of that name."""
    answer = partial(
        Answer,
        status=status,
        request_id=outcome.request_id,
        worker=outcome.worker,
    )
    if outcome.name != sent_name:
        reason = f"{outcome.name[:80]!r} was answered to who sent {sent_name[:80]!r}"
        return answer(failure=Failure.MISMATCHED, reason=reason)
    if outcome.prediction is None:
        return answer(failure=Failure.IMAGE, reason=outcome.reason)
    return answer(label=outcome.prediction.label)
