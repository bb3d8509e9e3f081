"""A bucket: private, encrypted, TLS only, and its objects expire."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from iraas.backends.aws.errors import (
    BUCKET_MISSING_CODES,
    OBJECT_MISSING_CODES,
    code_of,
    translating,
)
from iraas.backends.aws.iam.policies import Place, tls_only_policy, to_text
from iraas.backends.aws.provisioning.emptying import abort_uploads, empty
from iraas.backends.aws.provisioning.resource import (
    ABSENT,
    Found,
    ProvisioningContext,
    refuse_foreign,
    tag_map,
)

_SETTLING = BUCKET_MISSING_CODES | {"OperationAborted"}
"""What S3 says of a bucket that was made, or removed under the same name, a moment ago
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)."""


@dataclass(frozen=True, slots=True)
class BucketPart:
    """One of the two buckets.

    Attributes:
        site: Where it is.
        name: Its name.
        role: What it is for, as its tag says.
        expiring: The prefixes whose objects expire.
    """

    site: ProvisioningContext
    name: str
    role: str
    expiring: tuple[str, ...]
    kind: str = "bucket"

    @property
    def _s3(self) -> Any:
        return self.site.session.client("s3")

    @property
    def _arn(self) -> str:
        return Place(self.site.names, self.site.account, self.site.region).bucket(self.name)

    @property
    def _mine(self) -> dict[str, str]:
        """Which bucket is meant; S3 refuses if it has become another account's."""
        return {"Bucket": self.name, "ExpectedBucketOwner": self.site.account}

    def find(self) -> Found:
        """Look for it. One without our tag is not ours, even if it is empty."""
        with translating("s3", f"the bucket {self.name}"):
            try:
                self._s3.head_bucket(**self._mine)
                tags = self._tags()
            except Exception as exc:
                if code_of(exc) in OBJECT_MISSING_CODES | BUCKET_MISSING_CODES:
                    return ABSENT
                if code_of(exc) in ("403", "AccessDenied"):
                    return Found("foreign", "it is another account's, or may not be looked at")
                raise
        return self.site.found(tags, "objects expire; private; encrypted")

    def make(self) -> None:
        """Make it and set it up. Idempotent.

        Raises:
            ConfigurationError: It is there and not ours.
        """
        found = self.find()
        refuse_foreign(self, found)
        is_new = found.state == "absent"
        with translating("s3", f"the bucket {self.name}"):
            if is_new:
                self.site.settling(self._create, _SETTLING)
            try:
                tags = self.site.tags(self.role)
                self._set_up(self._s3.put_bucket_tagging, Tagging={"TagSet": tags})
            except BaseException:
                if is_new:
                    # Without the tag nobody could tell later that it is ours.
                    with suppress(Exception):
                        self._s3.delete_bucket(**self._mine)
                raise
            self._protect()
            self._set_up(
                self._s3.put_bucket_lifecycle_configuration,
                LifecycleConfiguration={"Rules": self._lifecycle()},
            )

    def remove(self) -> None:
        """Remove it with all objects, all their versions, and unfinished uploads. Idempotent.

        Raises:
            IraasError: An object may not be deleted, or too many are written meanwhile.
        """

        def emptied_and_removed() -> None:
            abort_uploads(self.site, self.name)
            empty(self.site, self.name)
            self._s3.delete_bucket(**self._mine)

        if self.find().state != "ours":
            return
        with translating("s3", f"the bucket {self.name}"):
            try:
                # What was written while it was emptied stands in the way of its removal.
                self.site.settling(emptied_and_removed, {"BucketNotEmpty", "OperationAborted"})
            except Exception as exc:
                if code_of(exc) not in BUCKET_MISSING_CODES:
                    raise

    def _create(self) -> None:
        request: dict[str, Any] = {"Bucket": self.name}
        if self.site.region != "us-east-1":
            request["CreateBucketConfiguration"] = {"LocationConstraint": self.site.region}
        try:
            self._s3.create_bucket(**request)
        except Exception as exc:
            if code_of(exc) != "BucketAlreadyOwnedByYou":
                raise

    def _protect(self) -> None:
        self._set_up(
            self._s3.put_public_access_block,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        if self.site.session.uses_tls:
            policy = tls_only_policy([self._arn, f"{self._arn}/*"], "s3:*")
            self._set_up(self._s3.put_bucket_policy, Policy=to_text(policy))
        encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        self._set_up(
            self._s3.put_bucket_encryption,
            ServerSideEncryptionConfiguration={"Rules": [encryption]},
        )

    def _set_up(self, call: Callable[..., Any], **request: Any) -> None:
        self.site.settling(lambda: call(**self._mine, **request), _SETTLING)

    def _tags(self) -> dict[str, str]:
        try:
            return tag_map(self._s3.get_bucket_tagging(**self._mine)["TagSet"])
        except Exception as exc:
            if code_of(exc) != "NoSuchTagSet":
                raise
            return {}

    def _lifecycle(self) -> list[dict[str, Any]]:
        expire = [
            {
                "ID": f"expire-{prefix.rstrip('/')}",
                "Status": "Enabled",
                "Filter": {"Prefix": prefix},
                "Expiration": {"Days": self.site.options.keep_data_days},
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
