"""Deletion of all objects of a bucket or prefix, in all versions, with bounded retries.

`DeleteObjects` returns 200 even if it deleted nothing: the failures are in its response.
"""

from iraas.backends.aws.errors import error_code, error_for_code, is_transient
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.errors import BackendUnavailableError

KEYS_PER_DELETE = 1000
"""https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"""
MAX_IDLE_ATTEMPTS = 8
"""Consecutive attempts without progress until the deletion fails."""
_LONGEST_PAUSE_S = 20.0
_REPORT_EVERY = 10_000


def delete_objects(context: ProvisioningContext, bucket: str, prefix: str = "") -> None:
    """Delete all objects under a prefix, with all versions and delete markers.

    Args:
        context: The provisioning context.
        bucket: The bucket's name.
        prefix: The prefix; empty for the whole bucket.

    Raises:
        IraasError: An object may not be deleted; the first permanent failure.
        BackendUnavailableError: Several consecutive attempts made no progress.
    """
    removed = idle_attempts = 0
    while objects := _some_objects(context, bucket, prefix):
        failed = _delete(context, bucket, objects)
        deleted = len(objects) - failed
        if (removed + deleted) // _REPORT_EVERY > removed // _REPORT_EVERY:
            context.report(f"{removed + deleted:,} objects removed from {bucket}")
        removed += deleted
        idle_attempts = 0 if deleted else idle_attempts + 1
        _pause(context, idle_attempts, failed, f"the objects in s3://{bucket}/{prefix}")


def abort_uploads(context: ProvisioningContext, bucket: str) -> None:
    """Abort unfinished uploads, which would keep the bucket from being removed.

    Raises:
        BackendUnavailableError: They are still listed after several attempts.
    """
    bucket_args = {"Bucket": bucket, "ExpectedBucketOwner": context.account}
    aborted: set[str] = set()
    idle_attempts = 0
    while uploads := context.s3.list_multipart_uploads(**bucket_args).get("Uploads"):
        new = [upload for upload in uploads if upload["UploadId"] not in aborted]
        for upload in uploads:
            try:
                context.s3.abort_multipart_upload(
                    **bucket_args, Key=upload["Key"], UploadId=upload["UploadId"]
                )
            except Exception as exc:
                if error_code(exc) != "NoSuchUpload":
                    raise
        aborted.update(upload["UploadId"] for upload in new)
        idle_attempts = 0 if new else idle_attempts + 1
        _pause(
            context,
            idle_attempts,
            0 if new else len(uploads),
            f"the unfinished uploads to {bucket}",
        )


def _some_objects(context: ProvisioningContext, bucket: str, prefix: str) -> list[dict[str, str]]:
    page = context.s3.list_object_versions(
        Bucket=bucket,
        ExpectedBucketOwner=context.account,
        Prefix=prefix,
        MaxKeys=KEYS_PER_DELETE,
    )
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in found]


def _delete(context: ProvisioningContext, bucket: str, objects: list[dict[str, str]]) -> int:
    """Delete objects in one call; return the number of transient failures."""
    response = context.s3.delete_objects(
        Bucket=bucket,
        ExpectedBucketOwner=context.account,
        Delete={"Objects": objects, "Quiet": True},
    )
    failures = response.get("Errors", ())
    for failure in failures:
        code = str(failure.get("Code", ""))
        if not is_transient(code):
            where = f"s3://{bucket}/{failure.get('Key', '')}"
            raise error_for_code(code, str(failure.get("Message", "")), "s3:DeleteObject", where)
    return len(failures)


def _pause(context: ProvisioningContext, idle_attempts: int, failed: int, what: str) -> None:
    if idle_attempts >= MAX_IDLE_ATTEMPTS:
        raise BackendUnavailableError(
            f"{what} cannot be removed: {MAX_IDLE_ATTEMPTS} consecutive attempts removed none",
            remedy="Try again later.",
        )
    if failed:
        context.sleep(min(2.0**idle_attempts, _LONGEST_PAUSE_S))
