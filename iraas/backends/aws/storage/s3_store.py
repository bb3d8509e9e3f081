"""The `ObjectStore` port on S3: a prefix in a general purpose bucket.

Encryption at rest is the bucket's default. Each upload carries its CRC-32, which S3 verifies.
Callers need ``s3:ListBucket`` besides ``s3:GetObject``: without it S3 answers 403 instead of 404
for a missing key.

Put-if-absent is a conditional write (``If-None-Match: *``): 412 means that the key exists, 409 that
another write of it was in progress. When a reply was lost and the write was resent, a 412 may be
caused by our own first attempt; the object's metadata identifies the writer, so that exactly one
writer gets True even then.

Not tested on the real service: built on its documentation and tested on emulators.
"""

import secrets
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from itertools import count
from typing import Any

from iraas.backends.aws.errors import (
    PRECONDITION_FAILED_CODES,
    WRITE_CONFLICT_CODES,
    error_code,
    error_for_code,
    is_transient,
    require_field,
    translate_errors,
)
from iraas.backends.aws.retries import Retries, RetryableError
from iraas.backends.aws.session import AwsSession
from iraas.core.keys import check_key
from iraas.core.ports import StoredObject
from iraas.errors import BackendError, BackendUnavailableError, ObjectNotFoundError

KEYS_PER_DELETE = 1000
KEYS_PER_PAGE = 1000
"""https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html and API_ListObjectsV2."""
_WRITER = "writer"


class S3Store:
    """The objects under a prefix of a bucket. Thread-safe; makes no call before its first use."""

    def __init__(
        self,
        session: AwsSession,
        bucket: Callable[[], str],
        prefix: str = "",
        *,
        retries: Retries | None = None,
    ) -> None:
        """Configure the store.

        Args:
            session: Makes the AWS calls.
            bucket: Returns the bucket's name; may take a call (it contains the account's id).
            prefix: Prefix of all keys in the bucket; empty, or ends with ``/``.
            retries: Retry policy for conflicts, interrupted downloads and single failed keys.

        Raises:
            ValueError: The prefix does not end with a slash.
        """
        if prefix and not prefix.endswith("/"):
            raise ValueError(f"the prefix {prefix!r} does not end with a slash")
        self._session = session
        self._bucket_name = bucket
        self._prefix = prefix
        self._retries = retries or Retries()

    def put(self, key: str, data: bytes) -> None:
        """Store an object. See `iraas.core.ports.ObjectStore.put`."""
        self._upload(check_key(key), data)

    def put_if_absent(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        """Store absent objects concurrently. See `iraas.core.ports.ObjectStore.put_if_absent`."""
        unique: dict[str, bytes] = {}
        for key, data in objects:
            unique.setdefault(check_key(key), data)
        stored_flags = self._session.map_concurrently(
            lambda item: self._put_if_absent(*item), [*unique.items()]
        )
        stored = dict(zip(unique, stored_flags, strict=True))
        return [stored.pop(key, False) for key, _ in objects]  # of equal keys, the first counts

    def get(self, key: str) -> bytes:
        """Read an object. See `iraas.core.ports.ObjectStore.get`."""
        check_key(key)
        return self._retries.run(lambda: self._download(key))

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """List objects page by page. See `iraas.core.ports.ObjectStore.list`."""
        if prefix:
            check_key(prefix.removesuffix("/"))
            if not prefix.endswith("/"):
                raise ValueError(f"the prefix {prefix!r} does not end with a slash")
        return self._pages(self._prefix + prefix, self._prefix + after if after else "")

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, 1,000 per call. See `iraas.core.ports.ObjectStore.delete`."""
        unique = list(dict.fromkeys(check_key(key) for key in keys))
        starts = range(0, len(unique), KEYS_PER_DELETE)
        self._session.map_concurrently(
            self._delete_batch, [unique[start : start + KEYS_PER_DELETE] for start in starts]
        )

    def _upload(self, key: str, data: bytes, **conditions: Any) -> None:
        checksum = b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        with self._translate_errors(key):
            self._session.s3.put_object(
                Bucket=self._bucket_name(),
                ExpectedBucketOwner=self._owner(),
                Key=self._prefix + key,
                Body=data,
                ChecksumCRC32=checksum,
                **conditions,
            )

    def _put_if_absent(self, key: str, data: bytes) -> bool:
        writer = secrets.token_hex(8)
        numbers = count(1)
        return self._retries.run(lambda: self._try_put(key, data, writer, next(numbers)))

    def _try_put(self, key: str, data: bytes, writer: str, number: int) -> bool:
        try:
            self._upload(key, data, IfNoneMatch="*", Metadata={_WRITER: writer})
        except BackendError as exc:
            code = error_code(exc.__cause__ or exc)
            if code in PRECONDITION_FAILED_CODES:
                sent_once = number == 1 and _sent_once(exc.__cause__)
                return not sent_once and self._writer_of(key) == writer
            if code in WRITE_CONFLICT_CODES:
                raise RetryableError(str(exc), remedy=exc.remedy) from exc
            raise
        return True

    def _writer_of(self, key: str) -> str:
        """Return the writer of an object that existed a moment ago."""
        try:
            with self._translate_errors(key):
                response = self._session.s3.head_object(
                    Bucket=self._bucket_name(),
                    ExpectedBucketOwner=self._owner(),
                    Key=self._prefix + key,
                )
        except ObjectNotFoundError as exc:
            raise RetryableError(f"{self._describe(key)} was deleted meanwhile") from exc
        return response["Metadata"].get(_WRITER, "")

    def _download(self, key: str) -> bytes:
        with self._translate_errors(key):
            response = self._session.s3.get_object(
                Bucket=self._bucket_name(),
                ExpectedBucketOwner=self._owner(),
                Key=self._prefix + key,
            )
        try:
            with self._translate_errors(key), closing(response["Body"]) as body:
                require_field(response, "ETag", "s3", self._describe(key))
                return body.read()
        except BackendUnavailableError as exc:  # the SDK retries calls, but not downloads
            raise RetryableError(str(exc), remedy=exc.remedy) from exc

    def _pages(self, prefix: str, after: str) -> Iterator[StoredObject]:
        cursor: dict[str, Any] = {"StartAfter": after} if after else {}
        while True:
            with self._translate_errors():
                page = self._session.s3.list_objects_v2(
                    Bucket=self._bucket_name(),
                    ExpectedBucketOwner=self._owner(),
                    Prefix=prefix,
                    MaxKeys=KEYS_PER_PAGE,
                    **cursor,
                )
            for item in page.get("Contents", ()):
                yield StoredObject(
                    key=item["Key"].removeprefix(self._prefix),
                    size_bytes=item["Size"],
                    modified_at=item["LastModified"].timestamp(),
                )
            if not page.get("IsTruncated"):
                return
            cursor = {"ContinuationToken": page["NextContinuationToken"]}

    def _delete_batch(self, keys: Sequence[str]) -> None:
        remaining = keys

        def try_remaining() -> None:
            nonlocal remaining
            remaining, reason = self._try_delete(remaining)
            if remaining:
                raise RetryableError(
                    f"s3:DeleteObject on {self._describe(remaining[0])} and "
                    f"{len(remaining) - 1} more failed: {reason}",
                    remedy="Try again later.",
                )

        self._retries.run(try_remaining)

    def _try_delete(self, keys: Sequence[str]) -> tuple[Sequence[str], str]:
        """Delete keys in one call; return those to retry, and the last failure."""
        with self._translate_errors():
            response = self._session.s3.delete_objects(
                Bucket=self._bucket_name(),
                ExpectedBucketOwner=self._owner(),
                Delete={"Objects": [{"Key": self._prefix + key} for key in keys], "Quiet": True},
            )
        remaining, reason = [], ""
        for failure in response.get("Errors", ()):
            key = failure.get("Key", "").removeprefix(self._prefix)
            code, text = failure.get("Code", ""), failure.get("Message", "")
            if not is_transient(code):
                raise error_for_code(code, text, "s3:DeleteObject", self._describe(key))
            remaining.append(key)
            reason = f"{text} ({code})"
        return remaining, reason

    def _owner(self) -> str:
        """The expected bucket owner: S3 rejects the call if the name belongs to another account."""
        return self._session.account()

    def _translate_errors(self, key: str = "") -> AbstractContextManager[None]:
        return translate_errors("s3", self._describe(key))

    def _describe(self, key: str) -> str:
        return f"s3://{self._bucket_name()}/{self._prefix}{key}"


def _sent_once(exc: BaseException | None) -> bool:
    """Return whether the SDK sent the rejected request only once."""
    response = getattr(exc, "response", None) or {}
    return not response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
