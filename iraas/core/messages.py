"""The messages on the queues, requests and replies: versioned, and validated strictly.

A request carries its image inline (base64) if the body fits the queue, and otherwise its key in the
input store. A reply carries the whole outcome, so that a requester need not read the store; it is
only a notification, for the stored outcome is authoritative.

Bodies are JSON texts in ASCII, so that their length in characters is their length in bytes.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from iraas.core.ids import is_plain_name, split_request_id
from iraas.core.keys import check_key
from iraas.core.outcomes import Outcome, outcome_from_json
from iraas.errors import MessageError, UnknownVersionError

VERSION = 1
MAX_NAME_CHARACTERS = 4096
TIME_BOUND_S = 1e12  # the year 33658
ENVELOPE_BYTES = 1024
"""Bytes reserved for the request's fields other than the image and its name."""


@dataclass(frozen=True, slots=True)
class Request:
    """One image to classify.

    Exactly one of `image` and `input_key` is set.

    Attributes:
        request_id: Its id: the job and the index in the job.
        name: The image's display name; at most `MAX_NAME_CHARACTERS`.
        submitted_at: Seconds since the epoch.
        reply_to: The requester to whose response queue replies go; empty for no reply.
        image: The image's bytes, if they are inline.
        input_key: The image's key in the input store, if they are not.
    """

    request_id: str
    name: str
    submitted_at: float
    reply_to: str = ""
    image: bytes | None = None
    input_key: str | None = None

    @property
    def job_id(self) -> str:
        """The job that the request belongs to."""
        return split_request_id(self.request_id)[0]


def fits_inline(image_bytes: int, name: str, max_body_bytes: int) -> bool:
    """Return whether an image may travel inline.

    Args:
        image_bytes: The image's size, in bytes.
        name: The image's name.
        max_body_bytes: The queue's limit, in bytes.
    """
    name_bytes = 12 * len(name)  # the longest escape of one character in ASCII JSON
    return (image_bytes + 2) // 3 * 4 + name_bytes + ENVELOPE_BYTES <= max_body_bytes


def encode_request(request: Request) -> str:
    """Encode a request as a message body."""
    value: dict[str, Any] = {
        "v": VERSION,
        "kind": "request",
        "request_id": request.request_id,
        "name": request.name,
        "submitted_at": request.submitted_at,
        "reply_to": request.reply_to,
    }
    if request.image is not None:
        value["image"] = binascii.b2a_base64(request.image, newline=False).decode("ascii")
    else:
        value["input_key"] = request.input_key
    return json.dumps(value, separators=(",", ":"))


def decode_request(body: str) -> Request:
    """Decode a request from an untrusted message body.

    Raises:
        UnknownVersionError: An incompatible version of iraas wrote it.
        MessageError: It is not a request, or a field is missing, malformed or out of bounds.
    """
    value = _open(body, "request")
    try:
        request = Request(
            request_id=_text(value, "request_id", 64),
            name=_text(value, "name", MAX_NAME_CHARACTERS),
            submitted_at=_time(value, "submitted_at"),
            reply_to=_text(value, "reply_to", 64),
            image=_image(value),
            input_key=check_key(_text(value, "input_key", 512)) if "input_key" in value else None,
        )
        split_request_id(request.request_id)
    except ValueError as exc:
        raise MessageError(f"corrupt request message: {exc}") from exc
    if (request.image is None) == (request.input_key is None):
        raise MessageError("a request message must carry either an image or an input key")
    if request.reply_to and not is_plain_name(request.reply_to):
        raise MessageError(f"corrupt request message: invalid reply_to {request.reply_to[:80]!r}")
    return request


def encode_reply(outcome: Outcome) -> str:
    """Encode the reply that carries an outcome to its requester."""
    value = {"v": VERSION, "kind": "reply", "outcome": outcome.to_json()}
    return json.dumps(value, separators=(",", ":"))


def decode_reply(body: str) -> Outcome:
    """Decode the outcome of a reply.

    Raises:
        UnknownVersionError: An incompatible version of iraas wrote it.
        MessageError: It is not a reply, or is corrupt.
    """
    return outcome_from_json(_open(body, "reply").get("outcome"))


def _open(body: str, kind: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise MessageError(f"a message is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise MessageError("a message is not a JSON object")
    version = value.get("v")
    if version != VERSION or isinstance(version, bool):
        raise UnknownVersionError(
            f"a message has version {str(version)[:20]!r}; this iraas reads version {VERSION}",
            remedy="Run the same version of iraas on every machine of the deployment.",
        )
    if value.get("kind") != kind:
        raise MessageError(f"a message is a {str(value.get('kind'))[:20]!r}, not a {kind}")
    return value


def _text(value: dict[str, Any], field: str, max_characters: int) -> str:
    text = value.get(field)
    if not isinstance(text, str):
        raise ValueError(f"{field} is not a string")
    if len(text) > max_characters:
        raise ValueError(f"{field} has more than {max_characters} characters")
    text.encode()  # a lone surrogate could not be stored: UnicodeEncodeError is a ValueError
    return text


def _time(value: dict[str, Any], field: str) -> float:
    number = value.get(field)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(f"{field} is not a number")
    if not 0 <= number < TIME_BOUND_S:  # false for NaN, too
        raise ValueError(f"{field} is out of range")
    return float(number)


def _image(value: dict[str, Any]) -> bytes | None:
    if "image" not in value:
        return None
    text = value["image"]
    if not isinstance(text, str):
        raise ValueError("image is not a string")
    return base64.b64decode(text, validate=True)
