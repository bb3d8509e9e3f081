"""The `ControllerLease` port: one small S3 object, written conditionally only.

A writer names the ETag that it read (``If-Match``), or that no object exists (``If-None-Match``),
so of two contenders one wins. The lease ends at a time of its holder's clock. To tolerate clock
skew, the holder stops relying on it `margin_s` before that time and others wait until `margin_s`
after it, so clocks may differ by up to twice that. Larger differences, and pauses between `hold`
and the action that it permits, are not covered here: the fleet's slots protect against them.

Not tested on the real service: built on its documentation and tested on emulators.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.errors import (
    PRECONDITION_FAILED_CODES,
    WRITE_CONFLICT_CODES,
    error_code,
    require_field,
    translate_errors,
)
from iraas.backends.aws.session import AwsSession
from iraas.core.json_record import write_record
from iraas.errors import BackendError, BackendUnavailableError, ObjectNotFoundError

LEASE_KEY = "controller/lease.json"
TTL_S = 60.0
MARGIN_S = 5.0
MAX_TTL_S = 900.0
"""A lease that claims to last longer is corrupt and counts as free: nobody can lock controllers
out."""
_MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Record:
    """Contents of the object. `token` identifies the lease object, `write` each single write."""

    holder: str
    token: str
    write: str
    expires_at: float


class S3ControllerLease:
    """A deployment's controller lease. Thread-safe; makes no call before its first use."""

    def __init__(
        self,
        session: AwsSession,
        bucket: Callable[[], str],
        prefix: str,
        holder_id: str,
        *,
        ttl_s: float = TTL_S,
        margin_s: float = MARGIN_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Configure the lease.

        Args:
            session: Makes the AWS calls.
            bucket: Returns the name of the output bucket.
            prefix: The prefix of the records in it, ending with ``/``.
            holder_id: Host and process of the contender, for display. Need not be unique.
            ttl_s: Lifetime without renewal, in seconds, up to `MAX_TTL_S`; more than three times
                the interval between two calls of `hold`.
            margin_s: Tolerated error of each clock, in seconds; under a third of `ttl_s`.
            clock: Seconds since the epoch.

        Raises:
            ValueError: `ttl_s` and `margin_s` contradict each other.
        """
        if not 0 <= 3 * margin_s < ttl_s <= MAX_TTL_S:
            raise ValueError(f"ttl_s {ttl_s} and margin_s {margin_s} are incompatible")
        self._session = session
        self._bucket_name = bucket
        self._key = prefix + LEASE_KEY
        self._holder_id = holder_id
        self._ttl_s = ttl_s
        self._margin_s = margin_s
        self._clock = clock
        self._token = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._etag = ""
        self._held_from = 0.0

    def hold(self) -> bool:
        """Acquire or renew the lease. See `iraas.core.ports.ControllerLease.hold`.

        The holder calls S3 once per third of the lease's lifetime; others read it each time. While
        S3 is unavailable, the holder keeps the rest of its lease.
        """
        with self._lock:
            age_s = self._clock() - self._held_from
            # After the clock was set back, the age of the lease is unknown.
            if self._etag and 0 <= age_s < self._ttl_s / 3:
                return True
            try:
                return self._renew_or_take() and self._has_time_left()
            except BackendUnavailableError:
                if self._etag and self._has_time_left():
                    return True
                raise

    def release(self) -> None:
        """Release the lease. See `iraas.core.ports.ControllerLease.release`."""
        with self._lock:
            if self._etag:
                self._write("", 0.0, IfMatch=self._etag)
                self._etag = ""

    def holder(self) -> str:
        """Return the holder's id. See `iraas.core.ports.ControllerLease.holder`."""
        _, record = self._read()
        return record.holder if record and self._is_valid(record) else ""

    def _renew_or_take(self) -> bool:
        if self._etag and self._acquire(IfMatch=self._etag):
            return True
        for _ in range(_MAX_ATTEMPTS):
            self._etag = ""
            etag, record = self._read()
            if record and record.token != self._token and self._is_valid(record):
                return False
            if self._acquire(IfMatch=etag) if etag else self._acquire(IfNoneMatch="*"):
                return True
        return False

    def _has_time_left(self) -> bool:
        """Return whether the lease is still valid: calls with all their retries may outlast it."""
        return 0 <= self._clock() - self._held_from < self._ttl_s - self._margin_s

    def _acquire(self, **condition: str) -> bool:
        started_at = self._clock()
        etag = self._write(self._holder_id, started_at + self._ttl_s, **condition)
        if etag:
            self._etag, self._held_from = etag, started_at
        return bool(etag)

    def _write(self, holder: str, expires_at: float, **condition: Any) -> str:
        """Write conditionally; return the new ETag, or an empty string if the condition failed."""
        record = _Record(holder, self._token, secrets.token_hex(8), expires_at)
        try:
            with self._translate_errors():
                response = self._session.s3.put_object(
                    Bucket=self._bucket_name(),
                    Key=self._key,
                    Body=write_record(record),
                    **condition,
                )
        except BackendError as exc:
            code = error_code(exc.__cause__ or exc)
            is_missing = isinstance(exc, ObjectNotFoundError)
            if not is_missing and code not in PRECONDITION_FAILED_CODES | WRITE_CONFLICT_CODES:
                raise
            # Our own write, if its reply was lost and the SDK's retry was rejected.
            etag, stored = self._read()
            return etag if stored == record else ""
        return str(require_field(response, "ETag", "s3", self._description))

    def _read(self) -> tuple[str, _Record | None]:
        """Return the object's ETag, empty if it does not exist, and its contents if valid."""
        try:
            with self._translate_errors():
                response = self._session.s3.get_object(Bucket=self._bucket_name(), Key=self._key)
                data = response["Body"].read()
        except ObjectNotFoundError:
            return "", None
        return str(require_field(response, "ETag", "s3", self._description)), _decode(data)

    def _is_valid(self, record: _Record) -> bool:
        remaining_s = record.expires_at + self._margin_s - self._clock()
        return bool(record.holder) and 0 < remaining_s <= MAX_TTL_S + 3 * self._margin_s

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_errors("s3", self._description)

    @property
    def _description(self) -> str:
        return f"s3://{self._bucket_name()}/{self._key}"


def _decode(data: bytes) -> _Record | None:
    try:
        value = json.loads(data)
        return _Record(
            str(value["holder"]),
            str(value["token"]),
            str(value["write"]),
            float(value["expires_at"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
