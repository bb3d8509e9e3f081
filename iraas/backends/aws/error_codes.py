"""Error codes of AWS services, by what they mean for the caller.

From the services' lists of errors
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html) and from what botocore
retries (``botocore.retries.standard``).
"""


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUEUE_MISSING = _codes("AWS.SimpleQueueService.NonExistentQueue NonExistentQueue QueueDoesNotExist")
QUEUE_EXISTS = _codes("QueueAlreadyExists QueueNameExists")
"""There is a queue of that name with other attributes."""

STALE_RECEIPT = _codes(
    """AWS.SimpleQueueService.MessageNotInflight InvalidIdFormat InvalidParameterValue
    MessageNotInflight ReceiptHandleIsInvalid"""
)
"""What SQS says of a receipt that is of no use: the message is gone, or somebody else's by now, or
the receipt never was one."""

BUCKET_MISSING = _codes("NoSuchBucket")
BUCKET_TAKEN = _codes("BucketAlreadyExists")
OBJECT_MISSING = _codes("404 NoSuchKey NotFound")
PRECONDITION_FAILED = _codes("412 PreconditionFailed")
WRITE_CONFLICT = _codes("409 ConditionalRequestConflict OperationAborted")
"""Another write of the same key was under way: try again."""

CLOCK = _codes("RequestExpired RequestInTheFuture RequestTimeTooSkewed")
CREDENTIALS = _codes(
    """AuthFailure ExpiredToken ExpiredTokenException IncompleteSignature InvalidAccessKeyId
    InvalidClientTokenId InvalidSecurity InvalidSignatureException InvalidToken
    MissingAuthenticationToken MissingAuthenticationTokenException NotSignedUp
    SignatureDoesNotMatch TokenRefreshRequired UnrecognizedClientException"""
)
DENIED = _codes(
    """403 AccessDenied AccessDeniedException AllAccessDisabled AuthorizationError Forbidden
    KMS.AccessDeniedException KmsAccessDenied NotAuthorized OptInRequired UnauthorizedAccess
    UnauthorizedOperation"""
)
QUOTA = _codes(
    """AddressLimitExceeded InstanceLimitExceeded LimitExceeded LimitExceededException
    MaxSpotInstanceCountExceeded QuotaExceeded RulesPerSecurityGroupLimitExceeded
    SecurityGroupLimitExceeded ServiceQuotaExceededException SpotInstanceCountLimitExceeded
    TooManyBuckets VcpuLimitExceeded VolumeLimitExceeded"""
)
WRONG_REGION = _codes(
    """AuthorizationHeaderMalformed IllegalLocationConstraintException InvalidLocationConstraint
    PermanentRedirect"""
)
FOR_NOW = _codes(
    """409 AWS.SimpleQueueService.QueueDeletedRecently BandwidthLimitExceeded
    ConditionalRequestConflict EC2ThrottledException InternalError InternalFailure
    InternalServerError InternalServiceError KMS.ThrottlingException KmsThrottled OperationAborted
    OverLimit PriorRequestNotComplete ProvisionedThroughputExceededException QueueDeletedRecently
    RequestLimitExceeded RequestThrottled RequestThrottledException RequestTimeout
    RequestTimeoutException ServiceUnavailable SlowDown Throttling ThrottledException
    ThrottlingException TooManyRequests TooManyRequestsException Unavailable"""
)
"""The same call may succeed later."""
