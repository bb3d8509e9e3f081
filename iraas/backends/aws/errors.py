"""Translation of AWS SDK errors into iraas errors, with cause and remedy.

Every AWS call runs inside `translate_errors`, so that no botocore exception leaves this package.
The error codes come from the services' documentation
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html) and from what botocore
retries (``botocore.retries.standard``).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from botocore import exceptions as sdk
from botocore import parsers

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

PROVISION_REMEDY = "Create the deployment's resources with: iraas provision --backend aws"

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
_SIGNATURE_EXPIRED = ("ignature expired", "ignature not yet current")
_CLOCK_TOLERANCE_S = 240.0
"""Below the five minutes for which a signature is valid
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html)."""


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUEUE_MISSING_CODES = _codes(
    "AWS.SimpleQueueService.NonExistentQueue NonExistentQueue QueueDoesNotExist"
)
QUEUE_EXISTS_CODES = _codes("QueueAlreadyExists QueueNameExists")
"""A queue of that name exists with other attributes."""

STALE_RECEIPT_CODES = _codes(
    """AWS.SimpleQueueService.MessageNotInflight InvalidIdFormat InvalidParameterValue
    MessageNotInflight ReceiptHandleIsInvalid"""
)
"""The receipt is useless: the message was deleted, another consumer holds it, or it never was
one."""

BUCKET_MISSING_CODES = _codes("NoSuchBucket")
BUCKET_TAKEN_CODES = _codes("BucketAlreadyExists")
OBJECT_MISSING_CODES = _codes("404 NoSuchKey NotFound")
PRECONDITION_FAILED_CODES = _codes("412 PreconditionFailed")
WRITE_CONFLICT_CODES = _codes("409 ConditionalRequestConflict OperationAborted")
"""Another write of the same key was in progress; retry."""

CLOCK_CODES = _codes("RequestExpired RequestInTheFuture RequestTimeTooSkewed")
CREDENTIALS_CODES = _codes(
    """AuthFailure ExpiredToken ExpiredTokenException IncompleteSignature InvalidAccessKeyId
    InvalidClientTokenId InvalidSecurity InvalidSignatureException InvalidToken
    MissingAuthenticationToken MissingAuthenticationTokenException NotSignedUp
    SignatureDoesNotMatch TokenRefreshRequired UnrecognizedClientException"""
)
DENIED_CODES = _codes(
    """403 AccessDenied AccessDeniedException AllAccessDisabled AuthorizationError Forbidden
    KMS.AccessDeniedException KmsAccessDenied NotAuthorized OptInRequired UnauthorizedAccess
    UnauthorizedOperation"""
)
QUOTA_CODES = _codes(
    """AddressLimitExceeded InstanceLimitExceeded LimitExceeded LimitExceededException
    MaxSpotInstanceCountExceeded QuotaExceeded RulesPerSecurityGroupLimitExceeded
    SecurityGroupLimitExceeded ServiceQuotaExceededException SpotInstanceCountLimitExceeded
    TooManyBuckets VcpuLimitExceeded VolumeLimitExceeded"""
)
WRONG_REGION_CODES = _codes(
    """AuthorizationHeaderMalformed IllegalLocationConstraintException InvalidLocationConstraint
    PermanentRedirect"""
)
TRANSIENT_CODES = _codes(
    """409 AWS.SimpleQueueService.QueueDeletedRecently BandwidthLimitExceeded
    ConditionalRequestConflict EC2ThrottledException InternalError InternalFailure
    InternalServerError InternalServiceError KMS.ThrottlingException KmsThrottled OperationAborted
    OverLimit PriorRequestNotComplete ProvisionedThroughputExceededException QueueDeletedRecently
    RequestLimitExceeded RequestThrottled RequestThrottledException RequestTimeout
    RequestTimeoutException ServiceUnavailable SlowDown Throttling ThrottledException
    ThrottlingException TooManyRequests TooManyRequestsException Unavailable"""
)
"""The same call may succeed later."""


class MissingQueueError(NotProvisionedError, QueueNotFoundError):
    """A provisioned queue does not exist: the port's error combined with a remedy."""


@contextmanager
def translate_errors(service: str, resource: str, *, provisioned: bool = True) -> Iterator[None]:
    """Context manager that translates SDK errors raised in its block.

    Args:
        service: The service's prefix in IAM actions, such as ``sqs``.
        resource: Subject of the call for error messages, such as ``the queue iraas-x-requests``.
        provisioned: Whether `iraas provision` creates that resource.

    Raises:
        IraasError: The most specific one for the SDK's error. Other exceptions pass unchanged.
    """
    try:
        yield
    except IraasError:
        raise
    except Exception as exc:
        if _is_sdk_error(exc):
            raise to_iraas_error(exc, service, resource, provisioned=provisioned) from exc
        raise


def to_iraas_error(
    exc: Exception,
    service: str,
    resource: str,
    *,
    provisioned: bool = True,
    clock: Callable[[], float] = time.time,
) -> IraasError:
    """Translate an SDK error. Use the result in ``raise … from exc``.

    Args:
        exc: The SDK's error.
        service: The service's prefix in IAM actions.
        resource: Subject of the call for error messages.
        provisioned: Whether `iraas provision` creates that resource.
        clock: Seconds since the epoch; detects a wrong local clock.
    """
    response: dict[str, Any] | None = getattr(exc, "response", None)
    if isinstance(response, dict) and isinstance(response.get("Error"), dict):
        operation = str(getattr(exc, "operation_name", "a call"))
        error = response["Error"]
        metadata = response.get("ResponseMetadata", {})
        code = str(error.get("Code", ""))
        if code in CREDENTIALS_CODES and _is_clock_skewed(clock(), metadata.get("HTTPHeaders", {})):
            return _clock_error(iam_action(service, operation), code)
        return error_for_code(
            code,
            str(error.get("Message", "")),
            iam_action(service, operation),
            resource,
            status=int(metadata.get("HTTPStatusCode") or 0),
            provisioned=provisioned,
        )
    return _client_side_error(exc, service, resource)


def require_field(response: Mapping[str, Any], field: str, service: str, resource: str) -> Any:
    """Return a field that a service's response always has.

    Args:
        response: The response, or a part of it.
        field: The field's name.
        service: The service, for the error message.
        resource: Subject of the call for error messages.

    Raises:
        BackendUnavailableError: It is missing: a proxy or captive portal replied instead of AWS.
    """
    try:
        return response[field]
    except KeyError as exc:
        raise BackendUnavailableError(
            f"{service} gave no usable reply about {resource}: {field} is missing",
            remedy="Check the network and AWS_ENDPOINT_URL.",
        ) from exc


def error_code(exc: BaseException) -> str:
    """The service's error code of an SDK error; empty if it has none."""
    response = getattr(exc, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def is_transient(code: str) -> bool:
    """Return whether the same call may succeed later, by a service's error code."""
    return code in TRANSIENT_CODES or code.startswith("5")


def iam_action(service: str, operation: str) -> str:
    """The IAM action that an operation requires.

    Args:
        service: The service's prefix in IAM actions, such as ``sqs``.
        operation: The API operation, such as ``SendMessageBatch``.

    Returns:
        The action, such as ``sqs:SendMessage``.
    """
    action = f"{service}:{operation}"
    return _IAM_ACTIONS.get(action, action)


def error_for_code(
    code: str, text: str, action: str, resource: str, *, status: int = 0, provisioned: bool = True
) -> IraasError:
    """Translate a service's error code and message.

    Args:
        code: The error code.
        text: The service's error message.
        action: The IAM action that failed.
        resource: Subject of the call for error messages.
        status: The HTTP status, if known.
        provisioned: Whether `iraas provision` creates that resource.
    """
    failure = f"{action} on {resource} failed: {_one_line(text) or 'no text'} ({code or status})"
    if code in QUEUE_MISSING_CODES:
        if provisioned:
            return MissingQueueError(f"{resource} does not exist", remedy=PROVISION_REMEDY)
        return QueueNotFoundError(f"{resource} does not exist")
    if code in BUCKET_MISSING_CODES:
        return NotProvisionedError(f"{resource} does not exist", remedy=PROVISION_REMEDY)
    if code in OBJECT_MISSING_CODES:
        return ObjectNotFoundError(f"{resource} does not exist")
    if code in CLOCK_CODES or any(words in text for words in _SIGNATURE_EXPIRED):
        return _clock_error(action, code)
    return _caller_error(code, text, action, resource) or _service_error(code, failure, status)


def _is_clock_skewed(now: float, headers: Mapping[str, str]) -> bool:
    """Compare the local clock with a reply's date: EC2 reports expired signatures as a bad key."""
    try:
        server_time = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return False
    return abs(now - server_time) > _CLOCK_TOLERANCE_S


def _clock_error(action: str, code: str) -> CredentialsError:
    return CredentialsError(
        f"{action} was rejected: this machine's clock is wrong, or the request took too "
        f"long ({code})",
        remedy="Set the clock, for instance with: sudo timedatectl set-ntp true",
    )


def _caller_error(code: str, text: str, action: str, resource: str) -> IraasError | None:
    if code in CREDENTIALS_CODES:
        return CredentialsError(
            f"{action} was rejected: AWS does not accept these credentials: "
            f"{_one_line(text)} ({code})",
            remedy="Sign in again (aws sso login, aws configure) or set AWS_PROFILE; if the region "
            "must be enabled for the account, enable it. Check with: "
            "aws sts get-caller-identity",
        )
    if code in DENIED_CODES:
        return PermissionDeniedError(
            f"{action} on {resource} is not allowed: {_one_line(text) or 'access denied'} ({code})",
            remedy=f"Allow {action} on {resource}; "
            "iraas provision --backend aws --check lists all missing permissions.",
        )
    if code in QUOTA_CODES:
        return QuotaError(
            f"{action} on {resource} exceeds a quota of the account: {_one_line(text)} ({code})",
            remedy="Request a higher quota in the Service Quotas console, or use less.",
        )
    if code in WRONG_REGION_CODES:
        return ConfigurationError(
            f"{resource} is in another region than the configured one: {_one_line(text)} ({code})",
            remedy="Pass the region of the deployment with --region or AWS_DEFAULT_REGION.",
        )
    if code in BUCKET_TAKEN_CODES:
        return ConfigurationError(
            f"{resource} cannot be created: another account uses its name ({code})",
            remedy="Choose another deployment name with --deployment.",
        )
    return None


def _service_error(code: str, failure: str, status: int) -> BackendError:
    if (
        is_transient(code)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or status == HTTPStatus.TOO_MANY_REQUESTS
    ):
        return BackendUnavailableError(
            failure, remedy="Try again later; https://health.aws.amazon.com shows known outages."
        )
    return BackendError(failure)


def _client_side_error(exc: Exception, service: str, resource: str) -> IraasError:
    """Translate an error raised before the call, or without a usable reply."""
    text = _one_line(str(exc))
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
        return ConfigurationError(
            f"the call to {service} about {resource} could not be made: {text}"
        )
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


def _is_sdk_error(exc: Exception) -> bool:
    return type(exc).__module__.partition(".")[0] in ("boto3", "botocore", "s3transfer", "urllib3")


def _one_line(text: str) -> str:
    """One printable line of limited length: services echo input, which may hold control codes."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _TEXT_CHARACTERS else f"{line[: _TEXT_CHARACTERS - 1]}…"
