"""A bucket: private, encrypted, TLS only, and its objects expire."""

from dataclasses import dataclass
from typing import Any

from iraas.backends.aws import error_codes
from iraas.backends.aws.iam_policies import Place, tls_only_policy, to_text
from iraas.backends.aws.stack.parts import ABSENT, Found, Site, tag_map
from iraas.backends.aws.translation import code_of, translating

_KEYS_PER_DELETE = 1000


@dataclass(frozen=True, slots=True)
class BucketPart:
    """One of the two buckets.

    Attributes:
        site: Where it is.
        name: Its name.
        role: What it is for, as its tag says.
        expiring: The prefixes whose objects expire.
    """

    site: Site
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

    def find(self) -> Found:
        """Look for it. One without any tag and any object is one whose making was interrupted."""
        with translating("s3", f"the bucket {self.name}"):
            try:
                self._s3.head_bucket(Bucket=self.name, ExpectedBucketOwner=self.site.account)
            except Exception as exc:
                if code_of(exc) in error_codes.OBJECT_MISSING | error_codes.BUCKET_MISSING:
                    return ABSENT
                if code_of(exc) in ("403", "AccessDenied"):
                    return Found("foreign", "it is another account's, or may not be looked at")
                raise
            tags = self._tags()
            if not tags and self._is_empty():
                return Found("ours", "empty, its making was interrupted")
        return self.site.found(tags, "objects expire; private; encrypted")

    def make(self) -> None:
        """Make it and set it up. Idempotent."""
        with translating("s3", f"the bucket {self.name}"):
            self._create()
            s3 = self._s3
            tags = self.site.tags(self.role)
            s3.put_bucket_tagging(Bucket=self.name, Tagging={"TagSet": tags})
            s3.put_public_access_block(
                Bucket=self.name,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            )
            if self.site.tls:
                policy = tls_only_policy([self._arn, f"{self._arn}/*"], "s3:*")
                s3.put_bucket_policy(Bucket=self.name, Policy=to_text(policy))
            encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            s3.put_bucket_encryption(
                Bucket=self.name, ServerSideEncryptionConfiguration={"Rules": [encryption]}
            )
            s3.put_bucket_lifecycle_configuration(
                Bucket=self.name, LifecycleConfiguration={"Rules": self._lifecycle()}
            )

    def remove(self) -> None:
        """Remove it with all objects, all their versions, and unfinished uploads. Idempotent."""
        with translating("s3", f"the bucket {self.name}"):
            try:
                self._abort_uploads()
                self._empty()
                self._s3.delete_bucket(Bucket=self.name)
            except Exception as exc:
                if code_of(exc) not in error_codes.BUCKET_MISSING:
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

    def _tags(self) -> dict[str, str]:
        try:
            return tag_map(self._s3.get_bucket_tagging(Bucket=self.name)["TagSet"])
        except Exception as exc:
            if code_of(exc) != "NoSuchTagSet":
                raise
            return {}

    def _is_empty(self) -> bool:
        page = self._s3.list_object_versions(Bucket=self.name, MaxKeys=1)
        return not page.get("Versions") and not page.get("DeleteMarkers")

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

    def _abort_uploads(self) -> None:
        while uploads := self._s3.list_multipart_uploads(Bucket=self.name).get("Uploads"):
            for one in uploads:
                self._s3.abort_multipart_upload(
                    Bucket=self.name, Key=one["Key"], UploadId=one["UploadId"]
                )

    def _empty(self) -> None:
        removed = 0
        while True:
            page = self._s3.list_object_versions(Bucket=self.name, MaxKeys=_KEYS_PER_DELETE)
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if not found:
                return
            objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
            self._s3.delete_objects(Bucket=self.name, Delete={"Objects": objects, "Quiet": True})
            removed += len(objects)
            if removed % 10_000 == 0:
                self.site.report(f"{removed} objects removed from {self.name}")
