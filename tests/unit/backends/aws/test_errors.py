"""Errors of the SDK become ours: the most specific one, with a remedy, and none gets past."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import botocore.exceptions
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from iraas.backends.aws.errors import (
    BUCKET_MISSING_CODES,
    BUCKET_TAKEN_CODES,
    CLOCK_CODES,
    CREDENTIALS_CODES,
    DENIED_CODES,
    OBJECT_MISSING_CODES,
    QUEUE_MISSING_CODES,
    QUOTA_CODES,
    TRANSIENT_CODES,
    WRONG_REGION_CODES,
    MissingQueueError,
    error_code,
    to_iraas_error,
    translate_errors,
)
from iraas.backends.aws.names import Names
from iraas.backends.aws.queues.response_queues import SqsResponseQueues
from iraas.backends.aws.queues.sqs_queue import SqsQueue
from iraas.backends.aws.retries import Retries
from iraas.backends.aws.session import AwsSession
from iraas.backends.aws.storage.controller_lease import S3ControllerLease
from iraas.backends.aws.storage.s3_store import S3Store
from iraas.core.ports import OutboundMessage
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


def client_error(
    code: str, text: str = "", operation: str = "GetObject", status: int = 400
) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": text},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, operation)


def sdk_errors() -> list[Exception]:
    """One error of each class of botocore, with placeholders for its message."""
    found: list[Exception] = []
    for _, kind in inspect.getmembers(botocore.exceptions, inspect.isclass):
        if issubclass(kind, BotoCoreError):
            found.append(kind.__new__(kind))
            found[-1].args = (f"a {kind.__name__}",)
    return found


@pytest.mark.parametrize("exc", sdk_errors(), ids=lambda exc: type(exc).__name__)
def test_every_error_of_botocore_becomes_ours(exc: Exception) -> None:
    ours = to_iraas_error(exc, "sqs", "the queue q")
    assert isinstance(ours, IraasError)
    assert str(ours)


def test_every_error_that_sqs_and_s3_declare_becomes_ours() -> None:
    loader = get_session()
    for service in ("sqs", "s3", "sts"):
        model: Any = loader.get_service_model(service)
        codes = {shape.error_code for shape in model.error_shapes}
        codes |= {shape.name for shape in model.error_shapes}
        for code in codes:
            assert isinstance(to_iraas_error(client_error(code), service, "it"), IraasError)


@pytest.mark.parametrize(
    ("code", "kind", "remedy"),
    [
        ("AccessDenied", PermissionDeniedError, "s3:GetObject"),
        ("403", PermissionDeniedError, "--check"),
        ("ExpiredToken", CredentialsError, "aws sso login"),
        ("InvalidAccessKeyId", CredentialsError, "aws sts get-caller-identity"),
        ("SignatureDoesNotMatch", CredentialsError, "aws configure"),
        ("RequestTimeTooSkewed", CredentialsError, "timedatectl"),
        ("VcpuLimitExceeded", QuotaError, "Service Quotas"),
        ("NoSuchBucket", NotProvisionedError, "iraas provision --backend aws"),
        ("QueueDoesNotExist", MissingQueueError, "iraas provision --backend aws"),
        ("AWS.SimpleQueueService.NonExistentQueue", QueueNotFoundError, "iraas provision"),
        ("NoSuchKey", ObjectNotFoundError, ""),
        ("PermanentRedirect", ConfigurationError, "--region"),
        ("BucketAlreadyExists", ConfigurationError, "--deployment"),
        ("SlowDown", BackendUnavailableError, "later"),
        ("RequestThrottled", BackendUnavailableError, "later"),
    ],
)
def test_each_code_becomes_the_most_specific_error_with_its_remedy(
    code: str, kind: type[IraasError], remedy: str
) -> None:
    ours = to_iraas_error(client_error(code, "so it is"), "s3", "s3://b/k")
    assert isinstance(ours, kind)
    assert remedy in ours.remedy


def test_a_wrong_clock_is_distinguished_from_a_wrong_key() -> None:
    text = "Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z"
    ours = to_iraas_error(client_error("InvalidSignatureException", text.lower()), "sqs", "q")
    assert "clock" in str(ours)
    ours = to_iraas_error(client_error("InvalidSignatureException", text), "sqs", "q")
    assert "clock" in str(ours)


def test_a_denial_names_the_action_the_resource_and_the_message_of_aws() -> None:
    exc = client_error("AccessDenied", "no identity-based policy", "SendMessageBatch", 403)
    ours = to_iraas_error(exc, "sqs", "the queue iraas-x-requests")
    assert "sqs:SendMessage on the queue iraas-x-requests" in str(ours)
    assert "no identity-based policy" in str(ours)


def test_an_unknown_code_of_a_service_fault_is_temporary() -> None:
    for status in (500, 503, 429):
        ours = to_iraas_error(client_error("Whatever", status=status), "s3", "b")
        assert isinstance(ours, BackendUnavailableError)
    ours = to_iraas_error(client_error("Whatever", status=400), "s3", "b")
    assert type(ours) is BackendError


@pytest.mark.parametrize("words", ["expired", "not yet current"])
def test_a_signature_out_of_its_time_is_about_the_clock(words: str) -> None:
    text = f"Signature {words}: 20250102T000000Z is not near 20250101T000000Z"
    for code in ("InvalidSignatureException", "SignatureDoesNotMatch"):
        ours = to_iraas_error(client_error(code, text), "sqs", "q")
        assert isinstance(ours, CredentialsError)
        assert "clock" in str(ours)
        assert "timedatectl" in ours.remedy


@pytest.mark.parametrize(
    ("ahead_s", "is_clock"), [(0.0, False), (200.0, False), (900.0, True), (-900.0, True)]
)
def test_refused_credentials_are_distinguished_from_a_wrong_clock(
    ahead_s: float, is_clock: bool
) -> None:
    exc = client_error("AuthFailure", "AWS was not able to validate the provided credentials")
    exc.response["ResponseMetadata"]["HTTPHeaders"] = {"date": "Wed, 01 Jan 2025 00:00:00 GMT"}
    theirs = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
    ours = to_iraas_error(exc, "ec2", "the fleet", clock=lambda: theirs + ahead_s)
    assert isinstance(ours, CredentialsError)
    assert ("timedatectl" in ours.remedy) is is_clock


@pytest.mark.parametrize("headers", [{}, {"date": "soon"}, {"date": ""}])
def test_a_reply_without_a_date_proves_nothing_about_the_clock(headers: dict[str, str]) -> None:
    exc = client_error("AuthFailure", "no")
    exc.response["ResponseMetadata"]["HTTPHeaders"] = headers
    assert "aws sso login" in to_iraas_error(exc, "ec2", "the fleet").remedy


def test_a_service_message_is_truncated_and_stripped_of_control_characters() -> None:
    ours = to_iraas_error(client_error("Odd", "\x1b[2J\n" + "x" * 5000), "s3", "b")
    assert "\x1b" not in str(ours)
    assert "\n" not in str(ours)
    assert len(str(ours)) < 500


def test_no_code_means_two_things() -> None:
    tables = [
        QUEUE_MISSING_CODES,
        BUCKET_MISSING_CODES,
        BUCKET_TAKEN_CODES,
        OBJECT_MISSING_CODES,
        CLOCK_CODES,
        CREDENTIALS_CODES,
        DENIED_CODES,
        QUOTA_CODES,
        WRONG_REGION_CODES,
        TRANSIENT_CODES,
    ]
    codes = [code for table in tables for code in table]
    assert len(codes) == len(set(codes))


def test_other_exceptions_pass_unchanged() -> None:
    for exc in (QuotaError("ours"), ValueError("a mistake"), KeyboardInterrupt()):
        with pytest.raises(type(exc)) as caught, translate_errors("s3", "b"):
            raise exc
        assert caught.value is exc


def test_the_first_error_stays_the_cause() -> None:
    first = client_error("SlowDown")
    with pytest.raises(BackendUnavailableError) as caught, translate_errors("s3", "b"):
        raise first
    assert caught.value.__cause__ is first
    assert error_code(first) == "SlowDown"
    assert error_code(ValueError()) == ""


class FailingClient:
    """Fails every call with the same error, the first ones of a kind excepted."""

    class meta:  # noqa: N801 - as boto3 has it
        endpoint_url = "https://sqs.us-east-1.amazonaws.com"

    def __init__(self, exc: Exception, answers: dict[str, Any]) -> None:
        self._exc = exc
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**_: object) -> Any:
            if name in self._answers:
                return self._answers[name]
            raise self._exc

        return call


class FailingBody:
    def __init__(self, exc: Exception) -> None:
        self._exc = exc

    def read(self) -> bytes:
        raise self._exc

    def close(self) -> None:
        pass


ONCE = Retries(attempts=1)
PORT_CALLS: dict[str, Callable[[AwsSession], object]] = {
    "queue url": lambda it: SqsQueue(it, "q").url(),
    "queue send": lambda it: SqsQueue(it, "q", retries=ONCE).send([OutboundMessage("a")]),
    "queue receive": lambda it: SqsQueue(it, "q").receive(1, lease_s=1),
    "queue delete": lambda it: SqsQueue(it, "q", retries=ONCE).delete(["r"]),
    "queue extend": lambda it: SqsQueue(it, "q", retries=ONCE).extend(["r"], 1),
    "queue release": lambda it: SqsQueue(it, "q", retries=ONCE).release(["r"]),
    "queue depth": lambda it: SqsQueue(it, "q").depth(),
    "responses create": lambda it: SqsResponseQueues(it, Names("x")).create("me"),
    "responses find": lambda it: SqsResponseQueues(it, Names("x")).find("me").depth(),
    "responses delete": lambda it: SqsResponseQueues(it, Names("x")).delete("me"),
    "responses sweep": lambda it: SqsResponseQueues(it, Names("x")).sweep(1),
    "store put": lambda it: S3Store(it, lambda: "b").put("k", b""),
    "store put_if_absent": lambda it: S3Store(it, lambda: "b", retries=ONCE).put_if_absent(
        [("k", b"")]
    ),
    "store get": lambda it: S3Store(it, lambda: "b", retries=ONCE).get("k"),
    "store list": lambda it: list(S3Store(it, lambda: "b").list()),
    "store delete": lambda it: S3Store(it, lambda: "b", retries=ONCE).delete(["k"]),
    "lease hold": lambda it: S3ControllerLease(it, lambda: "b", "r/", "me").hold(),
    "lease holder": lambda it: S3ControllerLease(it, lambda: "b", "r/", "me").holder(),
    "account": lambda it: it.account(),
}
ESCAPING: list[Exception] = [
    client_error("SomethingNew", "never seen before"),
    client_error("InternalError", status=500),
    botocore.exceptions.EndpointConnectionError(endpoint_url="https://nowhere"),
    botocore.exceptions.NoCredentialsError(),
    botocore.exceptions.ParamValidationError(report="nonsense"),
    botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
]


def failing_session(
    monkeypatch: pytest.MonkeyPatch, exc: Exception, answers: dict[str, Any]
) -> AwsSession:
    session = AwsSession("us-east-1")
    monkeypatch.setattr(session, "client", lambda _: FailingClient(exc, answers))
    return session


@pytest.mark.parametrize("exc", ESCAPING, ids=lambda exc: type(exc).__name__)
@pytest.mark.parametrize("call", PORT_CALLS)
def test_no_error_of_botocore_gets_past_a_port(
    monkeypatch: pytest.MonkeyPatch, call: str, exc: Exception
) -> None:
    with pytest.raises(IraasError):
        PORT_CALLS[call](failing_session(monkeypatch, exc, {}))


@pytest.mark.parametrize("exc", ESCAPING, ids=lambda exc: type(exc).__name__)
@pytest.mark.parametrize(
    "call", [call for call in PORT_CALLS if call not in ("queue url", "account")]
)
def test_no_error_of_botocore_gets_past_a_port_after_the_first_calls(
    monkeypatch: pytest.MonkeyPatch, call: str, exc: Exception
) -> None:
    answers = {
        "get_queue_url": {"QueueUrl": "https://x/iraas-x-reply-me"},
        "list_queues": {"QueueUrls": ["https://x/iraas-x-reply-me"]},
        "create_queue": {"QueueUrl": "https://x/iraas-x-reply-me"},
        "list_queue_tags": {"Tags": {"iraas:deployment": "x"}},
        "get_object": {"ETag": "e", "Body": FailingBody(exc)},
        "get_caller_identity": {"Account": "123456789012"},
    }
    session = failing_session(monkeypatch, exc, answers)
    with pytest.raises(IraasError):
        PORT_CALLS[call](session)


def test_only_a_provisioned_queue_can_be_missing_its_deployment() -> None:
    exc = client_error("QueueDoesNotExist")
    assert isinstance(to_iraas_error(exc, "sqs", "q"), NotProvisionedError)
    ours = to_iraas_error(exc, "sqs", "q", provisioned=False)
    assert isinstance(ours, QueueNotFoundError)
    assert not isinstance(ours, NotProvisionedError)
