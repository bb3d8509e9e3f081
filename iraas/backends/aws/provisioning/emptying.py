"""Emptying a bucket, or a prefix of one: all versions, in a bounded number of tries.

`DeleteObjects` answers 200 even when it deleted nothing: what it refused stands in its answer.
"""

from typing import Any

from iraas.backends.aws.errors import code_of, for_code, is_for_now
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.errors import BackendUnavailableError

KEYS_PER_DELETE = 1000
"""https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"""
FRUITLESS_TRIES = 8
"""How often in a row nothing may go before it is given up."""
_LONGEST_PAUSE_S = 20.0
_TOLD_EVERY = 10_000


def empty(site: ProvisioningContext, bucket: str, prefix: str = "") -> None:
    """Remove all objects under a prefix, all their versions, and the markers of deleted ones.

    Raises:
        IraasError: An object may not be deleted; the first refusal that time does not heal.
        BackendUnavailableError: Nothing went in several tries.
    """
    removed = fruitless = 0
    while objects := _some_objects(site, bucket, prefix):
        failed = _delete(site, bucket, objects)
        gone = len(objects) - failed
        if (removed + gone) // _TOLD_EVERY > removed // _TOLD_EVERY:
            site.report(f"{removed + gone:,} objects removed from {bucket}")
        removed += gone
        fruitless = 0 if gone else fruitless + 1
        _pause(site, fruitless, failed, f"the objects in s3://{bucket}/{prefix}")


def abort_uploads(site: ProvisioningContext, bucket: str) -> None:
    """Abort unfinished uploads: a bucket that has some is not empty.

    Raises:
        BackendUnavailableError: They are listed still after several tries.
    """
    s3: Any = site.session.client("s3")
    mine = {"Bucket": bucket, "ExpectedBucketOwner": site.account}
    aborted: set[str] = set()
    fruitless = 0
    while uploads := s3.list_multipart_uploads(**mine).get("Uploads"):
        new = [one for one in uploads if one["UploadId"] not in aborted]
        for one in uploads:
            try:
                s3.abort_multipart_upload(**mine, Key=one["Key"], UploadId=one["UploadId"])
            except Exception as exc:
                if code_of(exc) != "NoSuchUpload":
                    raise
        aborted.update(one["UploadId"] for one in new)
        fruitless = 0 if new else fruitless + 1
        _pause(site, fruitless, 0 if new else len(uploads), f"the unfinished uploads to {bucket}")


def _some_objects(site: ProvisioningContext, bucket: str, prefix: str) -> list[dict[str, str]]:
    s3: Any = site.session.client("s3")
    page = s3.list_object_versions(
        Bucket=bucket,
        ExpectedBucketOwner=site.account,
        Prefix=prefix,
        MaxKeys=KEYS_PER_DELETE,
    )
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]


def _delete(site: ProvisioningContext, bucket: str, objects: list[dict[str, str]]) -> int:
    """Delete objects in one call; tell how many stay for now."""
    s3: Any = site.session.client("s3")
    answer = s3.delete_objects(
        Bucket=bucket,
        ExpectedBucketOwner=site.account,
        Delete={"Objects": objects, "Quiet": True},
    )
    failures = answer.get("Errors", ())
    for one in failures:
        code = str(one.get("Code", ""))
        if not is_for_now(code):
            where = f"s3://{bucket}/{one.get('Key', '')}"
            raise for_code(code, str(one.get("Message", "")), "s3:DeleteObject", where)
    return len(failures)


def _pause(site: ProvisioningContext, fruitless: int, failed: int, what: str) -> None:
    if fruitless >= FRUITLESS_TRIES:
        raise BackendUnavailableError(
            f"{what} do not go away: {FRUITLESS_TRIES} tries in a row removed none",
            remedy="Try again later.",
        )
    if failed:
        site.sleep(min(2.0**fruitless, _LONGEST_PAUSE_S))
