"""Outcomes: a prediction for a request, or a failure with its reason.

The JSON form is one flat object, the same in the output store, in replies, in
``iraas submit --json`` and in the HTTP API:

``request_id, job_id, name, status ("ok"|"failed"), label, score, top (up to 5 of {label, score}),
reason, model, worker, attempts, submitted_at, completed_at``. Times are seconds since the epoch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from iraas.errors import MessageError

MAX_TOP = 5
MAX_NUMBER = 1e12
"""The exclusive bound of times, scores and counts: as a time it is the year 33658."""
OutcomeJson = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LabelScore:
    """A class label and its probability, in 0..1."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's result for one image: one to five classes, best first."""

    top: tuple[LabelScore, ...]

    @property
    def label(self) -> str:
        """The label of the best class."""
        return self.top[0].label

    @property
    def score(self) -> float:
        """The probability of the best class, in 0..1."""
        return self.top[0].score


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one request. Exactly one is stored for each accepted request.

    Attributes:
        request_id: The request; includes the index in the job.
        job_id: The job that the request belongs to.
        name: The image's display name as the requester gave it; never used as a path.
        prediction: The model's result; None for a failure.
        reason: Why it failed; empty for a prediction.
        model: The bundle that was used, as ``name@hash``; empty if none was.
        worker: The writer: a worker's id, or ``submit`` for an image refused before sending.
        attempts: How often the request had been received; 0 if it was never sent.
        submitted_at: Seconds since the epoch.
        completed_at: Seconds since the epoch.
    """

    request_id: str
    job_id: str
    name: str
    prediction: Prediction | None
    reason: str
    model: str
    worker: str
    attempts: int
    submitted_at: float
    completed_at: float

    @property
    def status(self) -> Literal["ok", "failed"]:
        """``ok`` with a prediction, ``failed`` without one."""
        return "failed" if self.prediction is None else "ok"

    def to_json(self) -> OutcomeJson:
        """Convert to the flat JSON object described at the module; scores have six decimals."""
        top = self.prediction.top if self.prediction else ()
        return {
            "request_id": self.request_id,
            "job_id": self.job_id,
            "name": self.name,
            "status": self.status,
            "label": top[0].label if top else None,
            "score": round(top[0].score, 6) if top else None,
            "top": [{"label": item.label, "score": round(item.score, 6)} for item in top],
            "reason": self.reason or None,
            "model": self.model or None,
            "worker": self.worker or None,
            "attempts": self.attempts,
            "submitted_at": round(self.submitted_at, 6),
            "completed_at": round(self.completed_at, 6),
        }

    def encode(self) -> bytes:
        """Encode as one line of JSON in UTF-8, for the output store."""
        return json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":")).encode()


def decode_outcome(data: bytes) -> Outcome:
    """Decode an outcome that `Outcome.encode` wrote.

    Raises:
        MessageError: It is corrupt.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise MessageError(f"a stored outcome is not JSON: {exc}") from exc
    return outcome_from_json(value)


def outcome_from_json(value: object) -> Outcome:
    """Convert an outcome from its JSON object.

    Raises:
        MessageError: A field is missing or has a wrong type.
    """
    if not isinstance(value, Mapping):
        raise MessageError("an outcome is not a JSON object")
    try:
        return _outcome(value)
    except (KeyError, TypeError, ValueError) as exc:
        raise MessageError(f"an outcome's fields are wrong: {exc}") from exc


def _outcome(value: Mapping[str, Any]) -> Outcome:
    top = tuple(
        LabelScore(_text(item["label"]), _number(item["score"])) for item in value["top"][:MAX_TOP]
    )
    if value["status"] != ("ok" if top else "failed"):
        raise ValueError("status and top disagree")
    return Outcome(
        request_id=_text(value["request_id"]),
        job_id=_text(value["job_id"]),
        name=_text(value["name"]),
        prediction=Prediction(top) if top else None,
        reason=_text_or_null(value["reason"]),
        model=_text_or_null(value["model"]),
        worker=_text_or_null(value["worker"]),
        attempts=_count(value["attempts"]),
        submitted_at=_number(value["submitted_at"]),
        completed_at=_number(value["completed_at"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    value.encode()  # a lone surrogate could not be stored: UnicodeEncodeError is a ValueError
    return value


def _text_or_null(value: object) -> str:
    return "" if value is None else _text(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_NUMBER:
        raise TypeError(f"{str(value)[:20]!r} is not a count")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    if not -MAX_NUMBER < value < MAX_NUMBER:  # also refuses NaN
        raise ValueError("a number is out of range")
    return float(value)
