"""An S3 bucket: private, encrypted, TLS only, with expiring objects."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.errors import (
    BUCKET_MISSING_CODES,
    OBJECT_MISSING_CODES,
    error_code,
    translate_errors,
)
from iraas.backends.aws.iam.policies import tls_only_policy, to_text
from iraas.backends.aws.provisioning.emptying import abort_uploads, delete_objects
from iraas.backends.aws.provisioning.resource import (
    ABSENT,
    ProvisioningContext,
    ResourceStatus,
    refuse_unmanaged,
    tag_map,
)

_INCONSISTENT_CODES = BUCKET_MISSING_CODES | {"OperationAborted"}
"""S3's error codes for a bucket that was created, or removed under the same name, a moment ago
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)."""


@dataclass(frozen=True, slots=True)
class BucketResource:
    """One of the two buckets.

    Attributes:
        context: The provisioning context.
        name: Its name.
        role: Its purpose, as in its tag.
        expiring: Prefixes whose objects expire.
    """

    context: ProvisioningContext
    name: str
    role: str
    expiring: tuple[str, ...]
    kind: str = "bucket"

    @property
    def _arn(self) -> str:
        return self.context.arns.bucket(self.name)

    @property
    def _bucket_args(self) -> dict[str, str]:
        """Bucket and expected owner: S3 rejects the call if another account owns the bucket."""
        return {"Bucket": self.name, "ExpectedBucketOwner": self.context.account}

    def find(self) -> ResourceStatus:
        """Look it up. Without the deployment's tag it is unmanaged, even if it is empty."""
        with translate_errors("s3", f"the bucket {self.name}"):
            try:
                self.context.s3.head_bucket(**self._bucket_args)
                tags = self._tags()
            except Exception as exc:
                if error_code(exc) in OBJECT_MISSING_CODES | BUCKET_MISSING_CODES:
                    return ABSENT
                if error_code(exc) in ("403", "AccessDenied"):
                    return ResourceStatus(
                        "unmanaged", "it belongs to another account, or access is denied"
                    )
                raise
        return self.context.status_of(tags, "objects expire; private; encrypted")

    def make(self) -> None:
        """Create and configure it. Idempotent.

        Raises:
            ConfigurationError: It exists and is unmanaged.
        """
        found = self.find()
        refuse_unmanaged(self, found)
        is_new = found.state == "absent"
        with translate_errors("s3", f"the bucket {self.name}"):
            if is_new:
                self.context.retry_until_consistent(self._create, _INCONSISTENT_CODES)
            try:
                tags = self.context.tags(self.role)
                self._configure(self.context.s3.put_bucket_tagging, Tagging={"TagSet": tags})
            except BaseException:
                if is_new:
                    # Without the tag, the bucket would be unmanaged from now on.
                    with suppress(Exception):
                        self.context.s3.delete_bucket(**self._bucket_args)
                raise
            self._protect()
            self._configure(
                self.context.s3.put_bucket_lifecycle_configuration,
                LifecycleConfiguration={"Rules": self._lifecycle()},
            )

    def remove(self) -> None:
        """Remove it with all object versions and unfinished uploads. Idempotent.

        Raises:
            IraasError: An object may not be deleted, or objects are written faster than deleted.
        """

        def empty_and_remove() -> None:
            abort_uploads(self.context, self.name)
            delete_objects(self.context, self.name)
            self.context.s3.delete_bucket(**self._bucket_args)

        if self.find().state != "managed":
            return
        with translate_errors("s3", f"the bucket {self.name}"):
            try:
                # Objects written while the bucket is emptied prevent its removal.
                self.context.retry_until_consistent(
                    empty_and_remove, {"BucketNotEmpty", "OperationAborted"}
                )
            except Exception as exc:
                if error_code(exc) not in BUCKET_MISSING_CODES:
                    raise

    def _create(self) -> None:
        request: dict[str, Any] = {"Bucket": self.name}
        if self.context.region != "us-east-1":
            request["CreateBucketConfiguration"] = {"LocationConstraint": self.context.region}
        try:
            self.context.s3.create_bucket(**request)
        except Exception as exc:
            if error_code(exc) != "BucketAlreadyOwnedByYou":
                raise

    def _protect(self) -> None:
        self._configure(
            self.context.s3.put_public_access_block,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        if self.context.session.uses_tls:
            policy = tls_only_policy([self._arn, f"{self._arn}/*"], "s3:*")
            self._configure(self.context.s3.put_bucket_policy, Policy=to_text(policy))
        encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        self._configure(
            self.context.s3.put_bucket_encryption,
            ServerSideEncryptionConfiguration={"Rules": [encryption]},
        )

    def _configure(self, call: Callable[..., Any], **request: Any) -> None:
        self.context.retry_until_consistent(
            lambda: call(**self._bucket_args, **request), _INCONSISTENT_CODES
        )

    def _tags(self) -> dict[str, str]:
        try:
            return tag_map(self.context.s3.get_bucket_tagging(**self._bucket_args)["TagSet"])
        except Exception as exc:
            if error_code(exc) != "NoSuchTagSet":
                raise
            return {}

    def _lifecycle(self) -> list[dict[str, Any]]:
        expire = [
            {
                "ID": f"expire-{prefix.rstrip('/')}",
                "Status": "Enabled",
                "Filter": {"Prefix": prefix},
                "Expiration": {"Days": self.context.config.keep_data_days},
            }
            for prefix in self.expiring
        ]
        abort = {
            "ID": "abort-unfinished-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        }
        return [*expire, abort]
