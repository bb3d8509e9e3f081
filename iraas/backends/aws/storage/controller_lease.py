"""The `ControllerLease` port: one small object in S3, written under conditions only.

Whoever writes it names the ETag that was read (``If-Match``), or that nothing is there
(``If-None-Match``), so of two contenders one wins. The lease ends at a time of its holder's clock.
Clocks may differ: the holder stops believing in it `margin_s` before that time and others wait
until `margin_s` after it, so two clocks that are up to twice that apart do no harm. Larger
differences, and pauses between `hold` and the act, do: that is what the fleet's slots are for.

Untried on the real service: this was built on its documentation and tested on emulators.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from iraas.backends.aws.errors import (
    PRECONDITION_FAILED_CODES,
    WRITE_CONFLICT_CODES,
    code_of,
    field_of,
    translating,
)
from iraas.backends.aws.session import AwsSession
from iraas.errors import BackendError, BackendUnavailableError, ObjectNotFoundError

LEASE_KEY = "controller/lease.json"
TTL_S = 60.0
MARGIN_S = 5.0
MAX_TTL_S = 900.0
"""A lease that claims to last longer is mangled, and free: nobody can lock a controller out."""
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class _Record:
    """What the object says. `token` is the holding object's own; `write` is new in each write."""

    holder: str
    token: str
    write: str
    expires_at: float


class S3ControllerLease:
    """The controller's lease of a deployment. Thread-safe; makes no call before it is used."""

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
        """Say where it is and who asks.

        Args:
            session: Makes the calls.
            bucket: Tells the name of the output bucket.
            prefix: The prefix of the records in it, ending with ``/``.
            holder_id: Who asks, for people: a host and a process. Need not be unique.
            ttl_s: Seconds that a lease lasts unless it is renewed, up to `MAX_TTL_S`; more than
                three times the time between two calls of `hold`.
            margin_s: Seconds that clocks are allowed to be off, each; under a third of `ttl_s`.
            clock: Seconds since the epoch.
        """
        if not 0 <= 3 * margin_s < ttl_s <= MAX_TTL_S:
            raise ValueError(f"ttl_s {ttl_s} and margin_s {margin_s} do not go together")
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
        """Take or keep the lease. See `iraas.core.ports.ControllerLease.hold`.

        The holder calls S3 once in a third of the lease's time; others read it each time. While S3
        fails, the holder keeps what is left of its lease.
        """
        with self._lock:
            age_s = self._clock() - self._held_from
            # A clock that was set back says nothing about how long the lease has been held.
            if self._etag and 0 <= age_s < self._ttl_s / 3:
                return True
            try:
                return self._renew_or_take() and self._has_time_left()
            except BackendUnavailableError:
                if self._etag and self._has_time_left():
                    return True
                raise

    def release(self) -> None:
        """Let somebody else have it. See `iraas.core.ports.ControllerLease.release`."""
        with self._lock:
            if self._etag:
                self._write("", 0.0, IfMatch=self._etag)
                self._etag = ""

    def holder(self) -> str:
        """Who holds it. See `iraas.core.ports.ControllerLease.holder`."""
        _, record = self._read()
        return record.holder if record and self._is_valid(record) else ""

    def _renew_or_take(self) -> bool:
        if self._etag and self._acquire(IfMatch=self._etag):
            return True
        for _ in range(_ROUNDS):
            self._etag = ""
            etag, record = self._read()
            if record and record.token != self._token and self._is_valid(record):
                return False
            if self._acquire(IfMatch=etag) if etag else self._acquire(IfNoneMatch="*"):
                return True
        return False

    def _has_time_left(self) -> bool:
        """Whether the lease lasts still: calls, with all their tries, may take longer than it."""
        return 0 <= self._clock() - self._held_from < self._ttl_s - self._margin_s

    def _acquire(self, **condition: str) -> bool:
        before = self._clock()
        etag = self._write(self._holder_id, before + self._ttl_s, **condition)
        if etag:
            self._etag, self._held_from = etag, before
        return bool(etag)

    def _write(self, holder: str, expires_at: float, **condition: Any) -> str:
        """Write under a condition; the new ETag, or empty if the condition did not hold."""
        record = _Record(holder, self._token, secrets.token_hex(8), expires_at)
        try:
            with self._translating():
                answer = self._session.s3.put_object(
                    Bucket=self._bucket_name(),
                    Key=self._key,
                    Body=json.dumps(asdict(record)).encode(),
                    **condition,
                )
        except BackendError as exc:
            code = code_of(exc.__cause__ or exc)
            gone = isinstance(exc, ObjectNotFoundError)
            if not gone and code not in PRECONDITION_FAILED_CODES | WRITE_CONFLICT_CODES:
                raise
            # Ours, if the first reply was lost and what was refused is the SDK's second try.
            etag, found = self._read()
            return etag if found == record else ""
        return str(field_of(answer, "ETag", "s3", self._described))

    def _read(self) -> tuple[str, _Record | None]:
        """The object's ETag, empty if it is not there, and what it says, if that makes sense."""
        try:
            with self._translating():
                answer = self._session.s3.get_object(Bucket=self._bucket_name(), Key=self._key)
                data = answer["Body"].read()
        except ObjectNotFoundError:
            return "", None
        return str(field_of(answer, "ETag", "s3", self._described)), _decode(data)

    def _is_valid(self, record: _Record) -> bool:
        left_s = record.expires_at + self._margin_s - self._clock()
        return bool(record.holder) and 0 < left_s <= MAX_TTL_S + 3 * self._margin_s

    def _translating(self) -> AbstractContextManager[None]:
        return translating("s3", self._described)

    @property
    def _described(self) -> str:
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
