"""The `ObjectStore` port on S3: a prefix in a general purpose bucket.

Encryption at rest is the bucket's default, so nothing is said of it here. Each upload carries its
CRC-32, which S3 checks before it stores. A caller needs ``s3:ListBucket`` besides ``s3:GetObject``:
without it S3 answers 403 instead of 404 for a key that is not there.

Put-if-absent is a conditional write (``If-None-Match: *``): 412 means that the key is taken, 409
that another write of it was under way. When a reply was lost and the write was sent again, a 412
may be about our own first try; the object's metadata tells whose write it was, so that exactly one
writer is told True even then.

Untried on the real service: this was built on its documentation and tested on emulators.
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
    code_of,
    field_of,
    for_code,
    is_for_now,
    translating,
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
    """The objects under a prefix of a bucket. Thread-safe; makes no call before it is used."""

    def __init__(
        self,
        session: AwsSession,
        bucket: Callable[[], str],
        prefix: str = "",
        *,
        retries: Retries | None = None,
    ) -> None:
        """Name the place.

        Args:
            session: Makes the calls.
            bucket: Tells the bucket's name, which may take a call (it has the account's number).
            prefix: What all keys in the bucket begin with; empty, or ends with ``/``.
            retries: How often, and how fast, conflicts, broken downloads and keys that failed
                alone are tried again.
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
        """Store what is absent, side by side. See `iraas.core.ports.ObjectStore.put_if_absent`."""
        firsts: dict[str, bytes] = {}
        for key, data in objects:
            firsts.setdefault(check_key(key), data)
        answers = self._session.map_concurrently(
            lambda one: self._put_if_absent(*one), [*firsts.items()]
        )
        stored = dict(zip(firsts, answers, strict=True))
        return [stored.pop(key, False) for key, _ in objects]  # of equal keys, the first is meant

    def get(self, key: str) -> bytes:
        """Read an object. See `iraas.core.ports.ObjectStore.get`."""
        check_key(key)
        return self._retries.run(lambda: self._download(key))

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """List objects by pages. See `iraas.core.ports.ObjectStore.list`."""
        if prefix:
            check_key(prefix.removesuffix("/"))
            if not prefix.endswith("/"):
                raise ValueError(f"the prefix {prefix!r} does not end with a slash")
        return self._pages(self._prefix + prefix, self._prefix + after if after else "")

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, a thousand a call. See `iraas.core.ports.ObjectStore.delete`."""
        unique = list(dict.fromkeys(check_key(key) for key in keys))
        starts = range(0, len(unique), KEYS_PER_DELETE)
        self._session.map_concurrently(
            self._delete_batch, [unique[start : start + KEYS_PER_DELETE] for start in starts]
        )

    def _upload(self, key: str, data: bytes, **conditions: Any) -> None:
        checksum = b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        with self._translating(key):
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
            code = code_of(exc.__cause__ or exc)
            if code in PRECONDITION_FAILED_CODES:
                sent_once = number == 1 and _sent_once(exc.__cause__)
                return not sent_once and self._writer_of(key) == writer
            if code in WRITE_CONFLICT_CODES:
                raise RetryableError(str(exc), remedy=exc.remedy) from exc
            raise
        return True

    def _writer_of(self, key: str) -> str:
        """Who wrote an object that was there a moment ago."""
        try:
            with self._translating(key):
                answer = self._session.s3.head_object(
                    Bucket=self._bucket_name(),
                    ExpectedBucketOwner=self._owner(),
                    Key=self._prefix + key,
                )
        except ObjectNotFoundError as exc:
            raise RetryableError(f"{self._described(key)} came and went") from exc
        return answer["Metadata"].get(_WRITER, "")

    def _download(self, key: str) -> bytes:
        with self._translating(key):
            answer = self._session.s3.get_object(
                Bucket=self._bucket_name(),
                ExpectedBucketOwner=self._owner(),
                Key=self._prefix + key,
            )
        try:
            with self._translating(key), closing(answer["Body"]) as body:
                field_of(answer, "ETag", "s3", self._described(key))
                return body.read()
        except BackendUnavailableError as exc:  # the SDK tries calls again, but not downloads
            raise RetryableError(str(exc), remedy=exc.remedy) from exc

    def _pages(self, prefix: str, after: str) -> Iterator[StoredObject]:
        where: dict[str, Any] = {"StartAfter": after} if after else {}
        while True:
            with self._translating():
                page = self._session.s3.list_objects_v2(
                    Bucket=self._bucket_name(),
                    ExpectedBucketOwner=self._owner(),
                    Prefix=prefix,
                    MaxKeys=KEYS_PER_PAGE,
                    **where,
                )
            for one in page.get("Contents", ()):
                yield StoredObject(
                    key=one["Key"].removeprefix(self._prefix),
                    size_bytes=one["Size"],
                    modified_at=one["LastModified"].timestamp(),
                )
            if not page.get("IsTruncated"):
                return
            where = {"ContinuationToken": page["NextContinuationToken"]}

    def _delete_batch(self, keys: Sequence[str]) -> None:
        left = keys

        def try_rest() -> None:
            nonlocal left
            left, why = self._try_delete(left)
            if left:
                raise RetryableError(
                    f"s3:DeleteObject on {self._described(left[0])} and {len(left) - 1} more "
                    f"failed: {why}",
                    remedy="Try again later.",
                )

        self._retries.run(try_rest)

    def _try_delete(self, keys: Sequence[str]) -> tuple[Sequence[str], str]:
        """Delete keys in one call; give back those to try again, and why."""
        with self._translating():
            answer = self._session.s3.delete_objects(
                Bucket=self._bucket_name(),
                ExpectedBucketOwner=self._owner(),
                Delete={"Objects": [{"Key": self._prefix + key} for key in keys], "Quiet": True},
            )
        left, why = [], ""
        for failure in answer.get("Errors", ()):
            key = failure.get("Key", "").removeprefix(self._prefix)
            code, text = failure.get("Code", ""), failure.get("Message", "")
            if not is_for_now(code):
                raise for_code(code, text, "s3:DeleteObject", self._described(key))
            left.append(key)
            why = f"{text} ({code})"
        return left, why

    def _owner(self) -> str:
        """Whose the bucket must be: S3 refuses if its name has become another account's."""
        return self._session.account()

    def _translating(self, key: str = "") -> AbstractContextManager[None]:
        return translating("s3", self._described(key))

    def _described(self, key: str) -> str:
        return f"s3://{self._bucket_name()}/{self._prefix}{key}"


def _sent_once(exc: BaseException | None) -> bool:
    """Tell whether the SDK had sent the request once only when it was refused."""
    response = getattr(exc, "response", None) or {}
    return not response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
