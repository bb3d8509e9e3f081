"""The shipped fake: as unreliable as the documentation allows."""

import random
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from iraas.backends.aws.fleet.fake_ec2 import DENIAL_CODES, TERMINATED_LISTED_S, Ec2Faults, FakeEc2
from tests.fakes.clock import Clock

QUIET = Ec2Faults(boot_s=26.0, shutdown_s=0.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ec2(clock: Clock) -> FakeEc2:
    return FakeEc2(clock, random.Random(1), QUIET)


def request(token: str = "t", **more: Any) -> dict[str, Any]:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "who", "Value": "me"}]}]
    base = {"InstanceType": "c6a.large", "SubnetId": "a", "MinCount": 1, "MaxCount": 1}
    return base | {"ClientToken": token, "TagSpecifications": tags} | more


def launch(ec2: FakeEc2, **more: Any) -> str:
    return str(ec2.run_instances(**request(**more))["Instances"][0]["InstanceId"])


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return caught.value.response["Error"]["Code"]


def test_the_same_token_is_the_same_instance(ec2: FakeEc2) -> None:
    assert launch(ec2) == launch(ec2)
    assert ec2.peak == 1


def test_the_same_token_with_another_type_is_refused(ec2: FakeEc2) -> None:
    launch(ec2)
    with pytest.raises(ClientError) as caught:
        launch(ec2, InstanceType="c6i.large")
    assert code_of(caught) == "IdempotentParameterMismatch"


def test_the_same_token_in_another_subnet_is_another_instance(ec2: FakeEc2) -> None:
    assert launch(ec2) != launch(ec2, SubnetId="b")


def test_the_token_of_an_ended_instance_launches_nothing(ec2: FakeEc2) -> None:
    ec2.end(launch(ec2))
    with pytest.raises(ClientError) as caught:
        launch(ec2)
    assert code_of(caught) == "IdempotentInstanceTerminated"


def test_a_lost_reply_took_effect(ec2: FakeEc2) -> None:
    ec2.faults = replace(QUIET, lose_reply=1.0)
    with pytest.raises(ReadTimeoutError):
        launch(ec2)
    assert len(ec2.live()) == 1


def test_a_lost_request_did_not(ec2: FakeEc2) -> None:
    ec2.faults = replace(QUIET, lose_request=1.0)
    with pytest.raises(ReadTimeoutError):
        launch(ec2)
    assert ec2.live() == []


def test_a_delayed_request_takes_effect_later(ec2: FakeEc2, clock: Clock) -> None:
    ec2.faults = replace(QUIET, delay_request=1.0)
    with pytest.raises(ReadTimeoutError):
        launch(ec2)
    assert (len(ec2.live()), ec2.pending_effects()) == (0, 1)
    clock.now += QUIET.latest_effect_s
    assert (len(ec2.live()), ec2.pending_effects()) == (1, 0)


def test_a_delayed_request_with_a_used_token_launches_nothing(ec2: FakeEc2, clock: Clock) -> None:
    ec2.faults = replace(QUIET, delay_request=1.0)
    with pytest.raises(ReadTimeoutError):
        launch(ec2)
    ec2.faults = QUIET
    launch(ec2)
    clock.now += QUIET.latest_effect_s
    assert (len(ec2.live()), ec2.peak) == (1, 1)


def test_a_server_error_may_or_may_not_have_taken_effect(ec2: FakeEc2) -> None:
    ec2.faults = replace(QUIET, server_error=1.0)
    for n in range(20):
        with pytest.raises(ClientError) as caught:
            launch(ec2, token=f"t{n}")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert 0 < len(ec2.live()) < 20


def test_new_instances_are_listed_late(ec2: FakeEc2, clock: Clock) -> None:
    ec2.faults = replace(QUIET, listing_lag_s=60.0)
    instance_id = launch(ec2)
    with pytest.raises(ClientError) as caught:
        ec2.describe_instances(InstanceIds=[instance_id])
    assert code_of(caught) == "InvalidInstanceID.NotFound"
    with pytest.raises(ClientError):
        ec2.terminate_instances(InstanceIds=[instance_id])
    clock.now += 60
    assert ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]


def test_an_instance_boots_ends_and_stays_listed_for_an_hour(ec2: FakeEc2, clock: Clock) -> None:
    ec2.faults = replace(QUIET, shutdown_s=10.0)
    instance_id = launch(ec2)

    def state() -> str:
        answer = ec2.describe_instances(InstanceIds=[instance_id])
        return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])

    seen = [state()]
    clock.now += 26
    seen.append(state())
    ec2.terminate_instances(InstanceIds=[instance_id])
    seen.append(state())
    clock.now += 10
    seen.append(state())
    assert seen == ["pending", "running", "shutting-down", "terminated"]
    clock.now += TERMINATED_LISTED_S
    with pytest.raises(ClientError):
        state()


def test_filters_and_pages(ec2: FakeEc2) -> None:
    ids = [launch(ec2, token=f"t{n}") for n in range(5)]
    ec2.create_tags(Resources=ids[:3], Tags=[{"Key": "role", "Value": "worker"}])
    filters = [{"Name": "tag:role", "Values": ["worker"]}]
    page = ec2.describe_instances(Filters=filters, MaxResults=2)
    assert len(page["Reservations"]) == 2
    rest = ec2.describe_instances(Filters=filters, MaxResults=2, NextToken=page["NextToken"])
    assert len(rest["Reservations"]) == 1
    assert "NextToken" not in rest
    pending = [{"Name": "instance-state-name", "Values": ["running"]}]
    assert ec2.describe_instances(Filters=pending)["Reservations"] == []
    with pytest.raises(ClientError):
        ec2.describe_instances(Filters=[{"Name": "no-such-filter", "Values": ["x"]}])


def test_denials_have_codes_and_statuses_that_are_not_about_capacity(ec2: FakeEc2) -> None:
    ec2.faults = replace(QUIET, deny=1.0)
    seen = set()
    for n in range(100):
        with pytest.raises(ClientError) as caught:
            launch(ec2, token=f"t{n}")
        status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
        seen.add((code_of(caught), status))
    assert seen == set(DENIAL_CODES)
    assert ec2.live() == []


def test_a_new_profile_is_unknown_at_first(ec2: FakeEc2, clock: Clock) -> None:
    ec2.faults = replace(QUIET, profile_ready_at=clock.now + 10)
    with pytest.raises(ClientError, match="IAM Instance Profile"):
        launch(ec2)
    clock.now += 10
    assert launch(ec2)


def test_refusals_have_the_codes_and_statuses_of_ec2(ec2: FakeEc2) -> None:
    ec2.faults = replace(QUIET, refuse=1.0)
    codes = set()
    for n in range(50):
        with pytest.raises(ClientError) as caught:
            launch(ec2, token=f"t{n}")
        codes.add(code_of(caught))
    assert {"InsufficientInstanceCapacity", "MaxSpotInstanceCountExceeded"} <= codes
    assert ec2.live() == []
