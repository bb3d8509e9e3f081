"""Errors of the AWS SDK, translated to ours once, each with what failed, why, and what to do.

`translating` is put around every call. Nothing of botocore gets past it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from botocore import exceptions as sdk
from botocore import parsers

from iraas.backends.aws import error_codes
from iraas.errors import (
    BackendError,
    BackendUnavailableError,
    ConfigurationError,
    CredentialsError,
    IraasError,
    NotProvisionedError,
    ObjectNotFoundError,
    PermissionDeniedError,
    QueueNotFoundError,
    QuotaError,
)

PROVISION = "Make the deployment's resources with: iraas provision --backend aws"

_IAM_ACTIONS = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
}
_TEXT_CHARACTERS = 300
_OUT_OF_TIME = ("ignature expired", "ignature not yet current")
_CLOCK_TOLERANCE_S = 240.0
"""Signatures are good for five minutes
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html)."""


class MissingQueueError(NotProvisionedError, QueueNotFoundError):
    """A queue that provisioning makes is not there: both what the port and a newcomer expect."""


@contextmanager
def translating(service: str, resource: str, *, provisioned: bool = True) -> Iterator[None]:
    """Let what is called in this block raise our errors only.

    Args:
        service: The service's prefix in IAM actions, such as ``sqs``.
        resource: What the call is about, for people, such as ``the queue iraas-x-requests``.
        provisioned: Whether `iraas provision` makes that resource.

    Raises:
        IraasError: The most specific one, from the SDK's.
    """
    try:
        yield
    except IraasError:
        raise
    except Exception as exc:
        if _is_of_sdk(exc):
            raise translate(exc, service, resource, provisioned=provisioned) from exc
        raise


def translate(
    exc: Exception,
    service: str,
    resource: str,
    *,
    provisioned: bool = True,
    clock: Callable[[], float] = time.time,
) -> IraasError:
    """Our error for one that the SDK raised. Give it to ``raise … from exc``."""
    response: dict[str, Any] | None = getattr(exc, "response", None)
    if isinstance(response, dict) and isinstance(response.get("Error"), dict):
        operation = str(getattr(exc, "operation_name", "a call"))
        error = response["Error"]
        about = response.get("ResponseMetadata", {})
        code = str(error.get("Code", ""))
        if code in error_codes.CREDENTIALS and _is_wrong(clock(), about.get("HTTPHeaders", {})):
            return _wrong_clock(action_of(service, operation), code)
        return for_code(
            code,
            str(error.get("Message", "")),
            action_of(service, operation),
            resource,
            status=int(about.get("HTTPStatusCode") or 0),
            provisioned=provisioned,
        )
    return _before_or_without_reply(exc, service, resource)


def field_of(answer: Mapping[str, Any], field: str, service: str, resource: str) -> Any:
    """A field that a service's answer always has.

    Raises:
        BackendUnavailableError: It is not there: something in between answered in its place.
    """
    try:
        return answer[field]
    except KeyError as exc:
        raise BackendUnavailableError(
            f"{service} gave no usable reply about {resource}: {field} is missing",
            remedy="Check the network and AWS_ENDPOINT_URL.",
        ) from exc


def code_of(exc: BaseException) -> str:
    """The service's error code in an error of the SDK; empty if it has none."""
    response = getattr(exc, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def is_for_now(code: str) -> bool:
    """Tell whether the same call may succeed later, by a service's error code."""
    return code in error_codes.FOR_NOW or code.startswith("5")


def action_of(service: str, operation: str) -> str:
    """The IAM action that an operation needs, such as ``sqs:SendMessage``."""
    action = f"{service}:{operation}"
    return _IAM_ACTIONS.get(action, action)


def for_code(
    code: str, text: str, action: str, resource: str, *, status: int = 0, provisioned: bool = True
) -> IraasError:
    """Our error for a service's error code and text.

    Args:
        code: The error code.
        text: What the service said.
        action: The IAM action that failed.
        resource: What the call was about, for people.
        status: The HTTP status, if known.
        provisioned: Whether `iraas provision` makes that resource.
    """
    failed = f"{action} on {resource} failed: {_brief(text) or 'no text'} ({code or status})"
    if code in error_codes.QUEUE_MISSING:
        if provisioned:
            return MissingQueueError(f"{resource} does not exist", remedy=PROVISION)
        return QueueNotFoundError(f"{resource} does not exist")
    if code in error_codes.BUCKET_MISSING:
        return NotProvisionedError(f"{resource} does not exist", remedy=PROVISION)
    if code in error_codes.OBJECT_MISSING:
        return ObjectNotFoundError(f"{resource} does not exist")
    if code in error_codes.CLOCK or any(words in text for words in _OUT_OF_TIME):
        return _wrong_clock(action, code)
    return _for_settings(code, text, action, resource) or _for_service(code, failed, status)


def _is_wrong(now: float, headers: Mapping[str, str]) -> bool:
    """Tell whether our clock is far from the service's, by a reply's date: EC2 says of a signature
    out of its time what it says of a wrong key.
    """
    try:
        theirs = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return False
    return abs(now - theirs) > _CLOCK_TOLERANCE_S


def _wrong_clock(action: str, code: str) -> CredentialsError:
    return CredentialsError(
        f"{action} was refused: the clock of this machine is wrong, or the request took too "
        f"long ({code})",
        remedy="Set the clock, for instance with: sudo timedatectl set-ntp true",
    )


def _for_settings(code: str, text: str, action: str, resource: str) -> IraasError | None:
    if code in error_codes.CREDENTIALS:
        return CredentialsError(
            f"{action} was refused: AWS does not accept these credentials: {_brief(text)} ({code})",
            remedy="Sign in again (aws sso login, aws configure) or set AWS_PROFILE; if the region "
            "must be switched on for the account first, do that. Check with: "
            "aws sts get-caller-identity",
        )
    if code in error_codes.DENIED:
        return PermissionDeniedError(
            f"{action} on {resource} is not allowed: {_brief(text) or 'access denied'} ({code})",
            remedy=f"Let whoever runs this do {action} on {resource}; "
            "iraas provision --backend aws --check lists all that is missing.",
        )
    if code in error_codes.QUOTA:
        return QuotaError(
            f"{action} on {resource} met a limit of the account: {_brief(text)} ({code})",
            remedy="Ask for a higher limit in the Service Quotas console, or use less.",
        )
    if code in error_codes.WRONG_REGION:
        return ConfigurationError(
            f"{resource} is in another region than the one that was asked: {_brief(text)} ({code})",
            remedy="Pass the region of the deployment with --region or AWS_DEFAULT_REGION.",
        )
    if code in error_codes.BUCKET_TAKEN:
        return ConfigurationError(
            f"{resource} cannot be made: its name is taken by somebody else ({code})",
            remedy="Choose another deployment name with --deployment.",
        )
    return None


def _for_service(code: str, failed: str, status: int) -> BackendError:
    if (
        is_for_now(code)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or status == HTTPStatus.TOO_MANY_REQUESTS
    ):
        return BackendUnavailableError(
            failed, remedy="Try again later; https://health.aws.amazon.com shows known outages."
        )
    return BackendError(failed)


def _before_or_without_reply(exc: Exception, service: str, resource: str) -> IraasError:
    """Our error for one that came before a call was made, or when no reply was understood."""
    text = _brief(str(exc))
    if isinstance(exc, sdk.NoCredentialsError | sdk.PartialCredentialsError):
        return CredentialsError(
            f"no AWS credentials were found for {resource}: {text}",
            remedy="Sign in with aws sso login or aws configure, or set AWS_PROFILE.",
        )
    if isinstance(exc, _credential_errors()):
        return CredentialsError(
            f"the AWS credentials could not be loaded: {text}",
            remedy="Check AWS_PROFILE and ~/.aws/config, or sign in again with: aws sso login",
        )
    if isinstance(exc, sdk.NoRegionError | sdk.InvalidRegionError | sdk.UnknownRegionError):
        return ConfigurationError(
            f"the AWS region is missing or wrong: {text}",
            remedy="Pass --region, or set AWS_DEFAULT_REGION, such as us-east-1.",
        )
    if isinstance(exc, sdk.ConnectionError | sdk.HTTPClientError | sdk.CapacityNotAvailableError):
        return BackendUnavailableError(
            f"{service} could not be reached for {resource}: {text}",
            remedy="Check the network, the region's name and AWS_ENDPOINT_URL.",
        )
    if isinstance(exc, sdk.BotoCoreError) and not isinstance(exc, _reply_errors()):
        return ConfigurationError(f"{service} could not be asked about {resource}: {text}")
    return BackendUnavailableError(f"{service} gave no usable reply about {resource}: {text}")


def _credential_errors() -> tuple[type[Exception], ...]:
    return (
        sdk.ConfigParseError,
        sdk.CredentialRetrievalError,
        sdk.InvalidConfigError,
        sdk.LoginError,
        sdk.MetadataRetrievalError,
        sdk.ProfileNotFound,
        sdk.RefreshWithMFAUnsupportedError,
        sdk.SSOError,
        sdk.TokenRetrievalError,
        sdk.UnauthorizedSSOTokenError,
    )


def _reply_errors() -> tuple[type[Exception], ...]:
    return (
        sdk.ChecksumError,
        sdk.FlexibleChecksumError,
        sdk.IncompleteReadError,
        parsers.ResponseParserError,
    )


def _is_of_sdk(exc: Exception) -> bool:
    return type(exc).__module__.partition(".")[0] in ("boto3", "botocore", "s3transfer", "urllib3")


def _brief(text: str) -> str:
    """One line, not too long, without what a terminal would obey: services echo what we sent."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _TEXT_CHARACTERS else f"{line[: _TEXT_CHARACTERS - 1]}…"
