"""Messages of a confined classifier process: its greeting, and its answer to each image."""

import json
from dataclasses import dataclass

from iraas.core.json_record import read_record
from iraas.core.outcomes import MAX_TOP, LabelScore, Prediction
from iraas.errors import (
    BrokenImageError,
    BundleError,
    ImageError,
    ImageTooLargeError,
    MessageError,
    MissingExtraError,
    NotAnImageError,
)

MAX_REASON_CHARS = 1_000
_IMAGE_ERRORS: dict[str, type[ImageError]] = {
    error.__name__: error for error in (NotAnImageError, BrokenImageError, ImageTooLargeError)
}


@dataclass(frozen=True, slots=True)
class Greeting:
    """Sent once, when the model is loaded or has failed to load.

    Attributes:
        model_id: The bundle, as ``name@hash``; empty if it cannot be run.
        error: Why the process cannot work; empty if it can.
        remedy: What the user can do about the error.
        is_incomplete_install: Whether the error is a missing package, and not the bundle.
        unconfined: The accesses that the system does not block, for people; usually empty.
    """

    model_id: str = ""
    error: str = ""
    remedy: str = ""
    is_incomplete_install: bool = False
    unconfined: str = ""

    def check(self) -> None:
        """Raise the error that the process failed to start with, if any.

        Raises:
            MissingExtraError: A package is missing.
            BundleError: The bundle cannot be run.
        """
        if self.error:
            kind = MissingExtraError if self.is_incomplete_install else BundleError
            raise kind(self.error, remedy=self.remedy)


def decode_greeting(data: bytes) -> Greeting:
    """Read a greeting.

    Raises:
        MessageError: The data is not a greeting.
    """
    return read_record(data, Greeting)


def encode_answer(result: Prediction | ImageError) -> bytes:
    """The result of one image as JSON."""
    if isinstance(result, ImageError):
        value: dict[str, object] = {"error": type(result).__name__, "reason": str(result)}
    else:
        value = {"top": [[item.label, item.score] for item in result.top]}
    return json.dumps(value, separators=(",", ":")).encode()


def decode_answer(data: bytes) -> Prediction | ImageError:
    """Read an answer of `encode_answer`, from a process that may have been compromised.

    Raises:
        MessageError: The data is not an answer.
    """
    try:
        value = json.loads(data)
        if "error" in value:
            kind = _IMAGE_ERRORS.get(str(value["error"]), BrokenImageError)
            return kind(_text(value["reason"])[:MAX_REASON_CHARS])
        top = tuple(LabelScore(_text(label), _score(score)) for label, score in value["top"])
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise MessageError(f"a classifier's answer cannot be read: {exc}") from exc
    if not 1 <= len(top) <= MAX_TOP:
        raise MessageError(f"a classifier's answer has {len(top)} labels")
    return Prediction(top)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    value.encode()  # a lone surrogate could not be stored: UnicodeEncodeError is a ValueError
    return value


def _score(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise TypeError("not a score")
    return float(value)
