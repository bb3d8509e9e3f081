"""Launches through the real SDK: sent once, and not too late."""

import http.client
import time
from collections.abc import Iterator
from typing import Any

import pytest

from iraas.backends.aws.backend import _LAUNCH_LIMITS
from iraas.backends.aws.fleet.ec2_launch import (
    SEND_WITHIN_S,
    Launched,
    Rejected,
    Unconfirmed,
    guard_launches,
    send_launch,
)
from iraas.backends.aws.session import AwsSession
from tests.functional.aws.faults import FaultProxy, answer, lose_reply, refuse

RUN = "RunInstances"
REQUEST = {"MinCount": 1, "MaxCount": 1, "ImageId": "ami-12345678", "ClientToken": "t"}


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[Any]:
    session = AwsSession("us-east-1", endpoint_url=proxy.url, limits=_LAUNCH_LIMITS)
    yield session.client("ec2")
    session.close()


def send(client: Any, *, before_s: float = 60.0) -> Any:
    return send_launch(client, REQUEST, deadline=time.time() + before_s, clock=time.time)


def test_two_attempts_fit_into_the_launch_deadline() -> None:
    one = _LAUNCH_LIMITS.connect_timeout_s + _LAUNCH_LIMITS.read_timeout_s
    assert 2 * _LAUNCH_LIMITS.attempts * one <= SEND_WITHIN_S


def test_a_launch_starts_an_instance(client: Any) -> None:
    assert isinstance(send(client), Launched)


def test_the_sdk_does_not_retry_launches(client: Any, proxy: FaultProxy) -> None:
    before = len(proxy.seen)
    proxy.plan_all(lambda _: answer(503, "Unavailable"))
    assert isinstance(send(client), Unconfirmed)
    assert len(proxy.seen) - before == 2  # ours, and ours once more under the same token


@pytest.mark.parametrize("fault", [refuse, lose_reply])
def test_a_request_without_an_answer_proves_nothing(
    client: Any, proxy: FaultProxy, fault: Any
) -> None:
    proxy.plan_all(lambda _: fault)
    assert isinstance(send(client), Unconfirmed)


def test_a_capacity_refusal_is_a_refusal_whatever_its_status(
    client: Any, proxy: FaultProxy
) -> None:
    body = (
        "<Response><Errors><Error><Code>InsufficientInstanceCapacity</Code>"
        "<Message>none</Message></Error></Errors></Response>"
    )

    def no_capacity(_: Any) -> Any:
        from tests.functional.aws.faults import Reply  # noqa: PLC0415 - beside its use

        return Reply(500, {"Content-Type": "text/xml"}, body.encode())

    proxy.plan_all(lambda _: no_capacity)
    assert send(client) == Rejected("InsufficientInstanceCapacity")


def test_a_refused_connection_proves_that_nothing_was_sent() -> None:
    with_port = http.client.HTTPConnection("127.0.0.1", 1)
    session = AwsSession(
        "us-east-1", endpoint_url=f"http://{with_port.host}:1", limits=_LAUNCH_LIMITS
    )
    found = send(session.client("ec2"))
    session.close()
    assert isinstance(found, Rejected)


def test_a_launch_past_its_deadline_is_not_sent(client: Any, proxy: FaultProxy) -> None:
    """The process pauses between our check and the SDK's, as on a suspended laptop."""
    asleep = [False]

    def clock() -> float:
        return time.time() + (100.0 if asleep[0] else 0.0)

    def fall_asleep(**_: object) -> None:
        asleep[0] = True

    client.meta.events.register("before-sign.ec2.RunInstances", fall_asleep)
    guard_launches(client.meta.events, clock)
    before = len(proxy.seen)
    found = send_launch(client, REQUEST, deadline=time.time() + 60, clock=clock)
    assert found == Rejected("LaunchTooLate")
    assert len(proxy.seen) == before


def test_other_calls_of_the_guarded_client_are_sent(client: Any) -> None:
    guard_launches(client.meta.events, lambda: 1e12)
    assert client.describe_instances()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert client.run_instances(**REQUEST)["Instances"]
