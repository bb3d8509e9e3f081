"""Problem details (RFC 9457): errors as ``application/problem+json``."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from iraas.errors import (
    BackendError,
    BackendUnavailableError,
    ConfigurationError,
    ImageError,
    ImageTooLargeError,
    JobNotFoundError,
    MessageError,
    ObjectNotFoundError,
    StorageFullError,
    UsageError,
    WaitTimeoutError,
)

MEDIA_TYPE = "application/problem+json"
RETRY_S = {HTTPStatus.SERVICE_UNAVAILABLE: 2, HTTPStatus.INSUFFICIENT_STORAGE: 60}

_STATUSES: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (JobNotFoundError, HTTPStatus.NOT_FOUND),
    (ObjectNotFoundError, HTTPStatus.NOT_FOUND),
    (ImageTooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (ImageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UsageError, HTTPStatus.CONFLICT),
    (WaitTimeoutError, HTTPStatus.GATEWAY_TIMEOUT),
    (StorageFullError, HTTPStatus.INSUFFICIENT_STORAGE),
    (BackendUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ConfigurationError, HTTPStatus.SERVICE_UNAVAILABLE),
    (BackendError, HTTPStatus.SERVICE_UNAVAILABLE),
    (MessageError, HTTPStatus.INTERNAL_SERVER_ERROR),
)


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An error response.

    Attributes:
        status: The HTTP status.
        detail: Description for people: what failed and why.
        code: Identifier for programs; stable.
        remedy: What to do next; may be empty.
        headers: Additional headers.
        extra: Additional members of the JSON object.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str,
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.remedy = remedy
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of RFC 9457."""
        value: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.remedy:
            value["remedy"] = self.remedy
        return value | self.extra

    def response(self) -> Response:
        """Return the problem as an HTTP response."""
        return Response(
            json.dumps(self.to_json()),
            status_code=self.status,
            headers=self.headers,
            media_type=MEDIA_TYPE,
        )


def problem_of(error: Exception) -> Problem:
    """Convert an error of iraas to a problem."""
    status = next(
        (status for error_type, status in _STATUSES if isinstance(error, error_type)),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    headers = {"Retry-After": str(RETRY_S[status])} if status in RETRY_S else {}
    return Problem(
        status,
        str(error),
        code=_code(error),
        remedy=getattr(error, "remedy", ""),
        headers=headers,
    )


def busy(detail: str, retry_after_s: float, code: str = "busy") -> Problem:
    """Return the problem for exhausted capacity (429).

    Args:
        detail: Description for people.
        retry_after_s: Seconds after which to retry; rounded up.
        code: Identifier for programs.
    """
    seconds = max(1, math.ceil(retry_after_s))
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        detail,
        code=code,
        remedy=f"Try again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )


def not_found(detail: str = "There is nothing at this address.") -> Problem:
    """Return the problem for a missing resource (404)."""
    return Problem(HTTPStatus.NOT_FOUND, detail, code="not-found")


def _code(error: Exception) -> str:
    """Convert a class name: ``JobNotFoundError`` to ``job-not-found``."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in name).lstrip("-")
