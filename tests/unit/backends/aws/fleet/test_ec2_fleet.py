"""The fleet on EC2, one fault at a time, on the fake."""

import itertools
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from iraas.backends.aws.fleet.ec2_fleet import Ec2Fleet
from iraas.backends.aws.fleet.ec2_launch import LATEST_EFFECT_S, SEND_WITHIN_S
from iraas.backends.aws.fleet.fake_ec2 import Ec2Faults, FakeEc2
from iraas.backends.aws.fleet.launch_candidates import LaunchCandidates, launch_candidates
from iraas.backends.aws.fleet.launch_ledger import KEEP_SUPERSEDED_S, LaunchLedger
from iraas.backends.aws.names import Names
from iraas.core.ports import InstanceState
from iraas.errors import BackendUnavailableError, IraasError, PermissionDeniedError
from tests.fakes.clock import Clock
from tests.fakes.virtual_ec2 import Store

INSTANCE_TYPES = ["c6a.large", "c6i.large"]
SUBNETS = ["subnet-a", "subnet-b"]


def error(code: str, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "RunInstances")


class Scripted:
    """The fake, with errors put before the next launches; None lets one through."""

    def __init__(self, ec2: FakeEc2) -> None:
        self.ec2 = ec2
        self.script: list[Exception | Callable[[], None] | None] = []

    def run_instances(self, **request: Any) -> Any:
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            self.ec2.calls.append(("RunInstances", request))
            raise step
        if step is not None:
            step()
        return self.ec2.run_instances(**request)

    def describe_instances(self, **request: Any) -> Any:
        return self.ec2.describe_instances(**request)

    def terminate_instances(self, **request: Any) -> Any:
        return self.ec2.terminate_instances(**request)


@dataclass
class Rig:
    """A fleet with its fake EC2, clock and stores."""

    clock: Clock
    ec2: FakeEc2
    client: Scripted
    store: Store
    capacity: int = 3

    def fleet(self, holder: str = "a") -> Ec2Fleet:
        """A controller's own view of the fleet, as if it had just started."""
        candidates = launch_candidates(INSTANCE_TYPES, SUBNETS, ["spot", "on-demand"])
        options = LaunchCandidates(candidates, self.clock)
        return Ec2Fleet(
            self.client,
            self.client,
            LaunchLedger(self.store, "worker"),
            Names("demo"),
            lambda: options,
            capacity=self.capacity,
            holder=holder,
            parallel=1,
            clock=self.clock,
        )

    def candidates(self) -> list[dict[str, Any]]:
        """The RunInstances requests so far."""
        return [request for name, request in self.ec2.calls if name == "RunInstances"]

    def alive(self) -> int:
        return len(self.ec2.live())


@pytest.fixture
def rig() -> Rig:
    clock = Clock()
    rng = random.Random(7)
    ec2 = FakeEc2(clock, rng, Ec2Faults(shutdown_s=0.0))
    return Rig(clock, ec2, Scripted(ec2), Store(clock, rng))


def test_a_launch_request_is_complete(rig: Rig) -> None:
    launched = rig.fleet().launch(1).launched
    (request,) = rig.candidates()
    token = request.pop("ClientToken")
    tags = [
        {"Key": "iraas:deployment", "Value": "demo"},
        {"Key": "iraas:role", "Value": "worker"},
        {"Key": "iraas:slot", "Value": "0"},
        {"Key": "iraas:generation", "Value": "1"},
        {"Key": "Name", "Value": "iraas-demo-worker-0"},
    ]
    assert request == {
        "MinCount": 1,
        "MaxCount": 1,
        "LaunchTemplate": {"LaunchTemplateName": "iraas-demo-worker", "Version": "$Default"},
        "InstanceType": "c6a.large",
        "SubnetId": "subnet-a",
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "InstanceMarketOptions": {
            "MarketType": "spot",
            "SpotOptions": {
                "SpotInstanceType": "one-time",
                "InstanceInterruptionBehavior": "terminate",
            },
        },
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": tags},
            {"ResourceType": "volume", "Tags": tags},
        ],
    }
    assert token.startswith("demo-worker-")
    assert token.endswith("-0-1")
    assert len(token) <= 64
    assert launched == (rig.ec2.live()[0].instance_id,)


def test_tokens_fit_ec2_for_the_longest_names(rig: Rig) -> None:
    rig.fleet().launch(1)
    token = rig.candidates()[0]["ClientToken"]
    longest = len(token) - len("demo") + 20 + len("18") - 1 + 9
    assert longest <= 64


def test_no_more_instances_than_slots(rig: Rig) -> None:
    launch = rig.fleet().launch(10)
    assert len(launch.launched) == rig.alive() == 3
    assert "3 of 3 slots were free" in launch.shortfall


def test_a_fleet_is_spread_over_the_subnets(rig: Rig) -> None:
    rig.fleet().launch(3)
    assert [one["SubnetId"] for one in rig.candidates()] == ["subnet-a", "subnet-b", "subnet-a"]


def test_a_lost_reply_launches_once(rig: Rig) -> None:
    rig.ec2.faults = replace(rig.ec2.faults, lose_reply=1.0)
    first = rig.fleet().launch(1)
    assert first.launched == ()
    assert "unconfirmed launches" in first.shortfall
    assert rig.alive() == 1
    rig.ec2.faults = replace(rig.ec2.faults, lose_reply=0.0)
    fleet = rig.fleet("b")
    assert [one.state for one in fleet.instances()] == [InstanceState.BOOTING]
    fleet.launch(1)
    assert sorted(one.tags["iraas:slot"] for one in rig.ec2.live()) == ["0", "1"]


def test_a_lost_request_is_sent_again_under_its_token(rig: Rig) -> None:
    rig.ec2.faults = replace(rig.ec2.faults, lose_request=1.0)
    rig.fleet().launch(1)
    rig.ec2.faults = replace(rig.ec2.faults, lose_request=0.0)
    rig.clock.now += 61
    assert len(rig.fleet("b").launch(1).launched) == 1
    assert len({one["ClientToken"] for one in rig.candidates()}) == 1
    assert rig.alive() == 1


def test_the_slot_of_a_late_request_stays_occupied(rig: Rig) -> None:
    rig.capacity = 1
    rig.ec2.faults = replace(rig.ec2.faults, delay_request=1.0)
    rig.fleet().launch(1)
    rig.ec2.faults = replace(rig.ec2.faults, delay_request=0.0, refuse=1.0)
    for _ in range(100):  # whatever is asked meanwhile is refused, or meets the kept slot
        rig.clock.now += 10
        rig.fleet("b").launch(1)
        assert rig.alive() <= 1
    assert rig.ec2.peak == 1


def test_an_unconfirmed_launch_frees_its_slot_in_the_end(rig: Rig) -> None:
    rig.capacity = 1
    rig.ec2.faults = replace(rig.ec2.faults, lose_request=1.0)
    fleet = rig.fleet()
    fleet.launch(1)
    for _ in range(3):
        rig.clock.now += 61
        fleet.launch(1)
    rig.ec2.faults = replace(rig.ec2.faults, lose_request=0.0)
    rig.clock.now += LATEST_EFFECT_S - 62
    assert fleet.launch(1).launched == ()
    rig.clock.now += 62
    assert len(fleet.launch(1).launched) == 1
    assert rig.candidates()[-1]["ClientToken"].endswith("-0-2")


def test_a_controller_that_paused_after_its_claim_does_not_launch(rig: Rig) -> None:
    def sleep() -> None:
        rig.clock.now += SEND_WITHIN_S + 1

    claim = rig.store.put_if_absent

    def claim_and_sleep(objects: Any) -> list[bool]:
        done = claim(objects)
        if b'"launching"' in objects[0][1]:
            sleep()
        return done

    rig.store.put_if_absent = claim_and_sleep  # type: ignore[method-assign]
    launch = rig.fleet().launch(1)
    assert launch.launched == ()
    assert rig.candidates() == []


def test_a_controller_that_paused_after_its_poll_does_not_claim(rig: Rig) -> None:
    fleet = rig.fleet()
    describe = rig.ec2.describe_instances

    def look_and_sleep(**request: Any) -> Any:
        found = describe(**request)
        rig.clock.now += SEND_WITHIN_S + 1
        return found

    rig.ec2.describe_instances = look_and_sleep  # type: ignore[method-assign]
    assert fleet.launch(1).launched == ()
    assert rig.candidates() == []


def test_two_controllers_at_the_same_moment_fill_a_slot_once(rig: Rig) -> None:
    rig.capacity = 1
    other = rig.fleet("b")
    candidates = []
    describe = rig.ec2.describe_instances

    def look_and_let_the_other_launch(**request: Any) -> Any:
        found = describe(**request)
        rig.ec2.describe_instances = describe  # type: ignore[method-assign]
        candidates.append(other.launch(1))
        return found

    rig.ec2.describe_instances = look_and_let_the_other_launch  # type: ignore[method-assign]
    mine = rig.fleet("a").launch(1)
    assert len(candidates[0].launched) == 1
    assert mine.launched == ()
    assert mine.shortfall == "another controller was faster"
    assert rig.ec2.peak == 1


def test_a_slot_is_free_again_only_when_its_instance_is_terminated(rig: Rig) -> None:
    rig.capacity = 1
    fleet = rig.fleet()
    (instance_id,) = fleet.launch(1).launched
    rig.ec2.faults = replace(rig.ec2.faults, shutdown_s=1e6)
    fleet.terminate([instance_id])
    assert [one.state for one in fleet.instances()] == [InstanceState.STOPPING]
    assert fleet.launch(1).launched == ()
    rig.clock.now += 1e6
    assert fleet.instances() == []
    assert len(fleet.launch(1).launched) == 1


def test_a_launched_instance_is_listed_before_ec2_lists_it(rig: Rig) -> None:
    rig.ec2.faults = replace(rig.ec2.faults, listing_lag_s=300.0)
    (instance_id,) = rig.fleet().launch(1).launched
    (one,) = rig.fleet("b").instances()
    assert (one.instance_id, one.state) == (instance_id, InstanceState.BOOTING)
    assert (one.instance_type, one.pricing, one.launched_at) == ("c6a.large", "spot", rig.clock.now)


def test_an_instance_too_new_to_terminate_is_terminated_later(rig: Rig) -> None:
    rig.ec2.faults = replace(rig.ec2.faults, listing_lag_s=300.0)
    fleet = rig.fleet()
    (instance_id,) = fleet.launch(1).launched
    fleet.terminate([instance_id])
    assert rig.alive() == 1
    assert [one.instance_id for one in fleet.instances()] == [instance_id]
    rig.clock.now += 300
    fleet.terminate([instance_id])
    assert rig.alive() == 0


def test_an_unknown_instance_does_not_stop_the_termination_of_others(rig: Rig) -> None:
    fleet = rig.fleet()
    known = fleet.launch(2).launched
    fleet.terminate(["i-00000000000000000", *known, known[0]])
    assert rig.alive() == 0
    fleet.terminate([])


def test_an_instance_that_lost_its_tags_keeps_its_slot(rig: Rig) -> None:
    rig.capacity = 1
    fleet = rig.fleet()
    fleet.launch(1)
    rig.ec2.live()[0].tags.clear()
    rig.clock.now += 10_000
    assert len(fleet.instances()) == 1
    assert fleet.launch(1).launched == ()


def test_the_web_tier_and_a_builder_are_not_part_of_the_fleet(rig: Rig) -> None:
    fleet = rig.fleet()
    fleet.launch(1)
    request = rig.candidates()[0]
    ids = {}
    for role in ("web", "builder"):
        tags = [{"Key": "iraas:deployment", "Value": "demo"}, {"Key": "iraas:role", "Value": role}]
        specs = [{"ResourceType": "instance", "Tags": tags}]
        more = {"ClientToken": role, "TagSpecifications": specs}
        answer = rig.ec2.run_instances(**(request | more))
        ids[role] = answer["Instances"][0]["InstanceId"]
    assert {one.role: one.instance_id for one in fleet.non_worker_instances()} == ids
    assert [one.role for one in fleet.instances()] == ["worker"]
    rig.ec2.end(ids["builder"])
    assert [one.role for one in fleet.non_worker_instances()] == ["web"]


def count_calls(rig: Rig) -> int:
    """The DescribeInstances calls so far."""
    return sum(name == "DescribeInstances" for name, _ in rig.ec2.calls)


def test_an_idle_tick_makes_one_describe_instances_call_two_hours_after_a_full_fleet(
    rig: Rig,
) -> None:
    rig.capacity = 19
    fleet = rig.fleet()
    fleet.terminate(fleet.launch(19).launched)

    def tick() -> int:
        before = count_calls(rig)
        assert fleet.instances() == []
        assert fleet.launch(0).launched == ()
        return count_calls(rig) - before

    for _ in range(4):
        assert tick() == 1
        rig.clock.now += 1800
    assert tick() == 1


def test_a_controller_that_comes_two_hours_after_a_full_fleet_asks_once_for_all_of_it(
    rig: Rig,
) -> None:
    rig.capacity = 19
    fleet = rig.fleet()
    fleet.terminate(fleet.launch(19).launched)
    rig.clock.now += 7200
    late, watcher = rig.fleet("b"), rig.fleet("c")
    for fleet in (late, watcher):
        before = count_calls(rig)
        assert fleet.instances() == []
        assert count_calls(rig) - before == 2
        assert fleet.instances() == []
        assert count_calls(rig) - before == 3
    late.launch(0)
    assert {one.state for one in LaunchLedger(rig.store, "worker").latest().values()} == {"ended"}


def test_many_instances_too_new_to_be_listed_cost_one_call(rig: Rig) -> None:
    rig.capacity = 19
    rig.ec2.faults = replace(rig.ec2.faults, listing_lag_s=300.0)
    fleet = rig.fleet()
    fleet.launch(19)
    before = count_calls(rig)
    assert len(fleet.instances()) == 19
    assert count_calls(rig) - before == 2


def test_reconciling_records_ended_instances_and_launches_nothing(rig: Rig) -> None:
    fleet = rig.fleet()
    fleet.terminate(fleet.launch(1).launched)
    fleet.instances()
    before = len(rig.ec2.calls)
    fleet.launch(0)
    assert len(rig.ec2.calls) == before
    entry = LaunchLedger(rig.store, "worker").latest()[0]
    assert (entry.state, entry.reason) == ("ended", "the instance is terminated")


def test_an_orphaned_instance_counts_against_the_cap(rig: Rig) -> None:
    fleet = rig.fleet()
    fleet.launch(1)
    request = rig.candidates()[0] | {"ClientToken": "by-hand"}
    rig.ec2.run_instances(**request)
    assert len(fleet.instances()) == 2
    assert len(fleet.launch(3).launched) == 1
    assert rig.ec2.peak == 3


def test_without_capacity_other_types_zones_and_prices_are_tried_in_order(rig: Rig) -> None:
    full = error("InsufficientInstanceCapacity", 500)
    rig.client.script = [full, full, full, error("MaxSpotInstanceCountExceeded"), None]
    assert len(rig.fleet().launch(1).launched) == 1
    tried = [
        (one["InstanceType"], one["SubnetId"], "InstanceMarketOptions" in one)
        for one in rig.candidates()
    ]
    assert tried == [
        ("c6a.large", "subnet-a", True),
        ("c6a.large", "subnet-b", True),
        ("c6i.large", "subnet-a", True),
        ("c6i.large", "subnet-b", True),
        ("c6a.large", "subnet-a", False),
    ]
    tokens = [one["ClientToken"] for one in rig.candidates()]
    assert len(set(tokens)) == 5


def test_without_capacity_the_fleet_reports_it_and_makes_no_call_until_the_cooldown_ends(
    rig: Rig,
) -> None:
    fleet = rig.fleet()
    rig.ec2.faults = replace(rig.ec2.faults, refuse=1.0)
    launch = fleet.launch(2)
    asked = len(rig.candidates())
    assert launch.shortfall.startswith("capacity-limited: ")
    assert "next try in" in launch.shortfall
    for _ in range(5):
        assert fleet.launch(2).shortfall.startswith("capacity-limited: ")
    assert len(rig.candidates()) == asked
    rig.ec2.faults = replace(rig.ec2.faults, refuse=0.0)
    rig.clock.now += 31
    assert len(fleet.launch(2).launched) == 2


def test_each_refusal_doubles_the_cooldown_up_to_ten_minutes(rig: Rig) -> None:
    rig.capacity = 1
    fleet = rig.fleet()
    times = []
    for _ in range(400):
        before = len(rig.candidates())
        rig.client.script = [error("VolumeLimitExceeded")] * 20
        fleet.launch(1)
        if len(rig.candidates()) > before:
            times.append(rig.clock.now)
        rig.clock.now += 10
    gaps = [round(b - a) for a, b in itertools.pairwise(times)]
    assert gaps[:6] == [30, 60, 120, 240, 480, 600]


def test_a_refusal_that_is_not_about_capacity_is_raised_once_and_frees_the_slot(rig: Rig) -> None:
    fleet = rig.fleet()
    rig.client.script = [error("UnauthorizedOperation", 403)]
    with pytest.raises(PermissionDeniedError, match="ec2:RunInstances"):
        fleet.launch(1)
    resting = fleet.launch(3)
    assert resting.launched == ()
    assert "is not allowed" in resting.shortfall
    assert "next try in 30 s" in resting.shortfall
    assert "capacity" not in resting.shortfall
    rig.clock.now += 31
    assert len(fleet.launch(3).launched) == 3


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "InvalidParameterValue"])
def test_a_refusal_that_is_not_about_capacity_backs_off_exponentially(rig: Rig, code: str) -> None:
    rig.capacity = 19
    fleet = rig.fleet()
    rig.client.script = [error(code, 403)] * 1000
    times, raised = [], 0
    for _ in range(400):
        before = len(rig.candidates())
        try:
            fleet.launch(19)
        except IraasError:
            raised += 1
        times += [rig.clock.now] * (len(rig.candidates()) - before)
        rig.clock.now += 10
    gaps = [round(b - a) for a, b in itertools.pairwise(times)]
    assert (gaps[:5], set(gaps[5:])) == ([30, 60, 120, 240, 480], {600})
    assert raised == len(times)
    assert len(list(rig.store.list("fleet/worker/"))) == 2 * len(times) + 1


def test_a_ledger_that_cannot_be_written_is_tried_for_one_slot_a_launch(rig: Rig) -> None:
    rig.capacity = 19
    tried = []

    def refuse(objects: Any) -> list[bool]:
        tried.append(objects)
        raise PermissionDeniedError("s3:PutObject is not allowed")

    fleet = rig.fleet()
    rig.store.put_if_absent = refuse  # type: ignore[method-assign]
    with pytest.raises(PermissionDeniedError):
        fleet.launch(19)
    assert len(tried) == 1
    assert rig.candidates() == []


def test_a_role_that_ec2_does_not_know_yet_is_waited_for(rig: Rig) -> None:
    answer: Any = {
        "Error": {
            "Code": "InvalidParameterValue",
            "Message": "Value (x) for parameter iamInstanceProfile.name is invalid. "
            "Invalid IAM Instance Profile name",
        },
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    rig.client.script = [ClientError(answer, "RunInstances")]
    fleet = rig.fleet()
    assert fleet.retry_after_s() is None
    shortfall = fleet.launch(1).shortfall
    assert shortfall.startswith("not ready yet: InstanceProfileNotReady")
    assert "capacity" not in shortfall
    assert fleet.retry_after_s() == 2
    rig.clock.now += 3
    assert len(fleet.launch(1).launched) == 1


def test_an_error_in_one_slot_does_not_hide_what_the_others_launched(rig: Rig) -> None:
    rig.client.script = [None, error("InvalidParameterValue"), None]
    launch = rig.fleet().launch(3)
    assert len(launch.launched) == 1
    assert launch.shortfall.count("InvalidParameterValue") == 1
    assert len(rig.candidates()) == 2


def test_no_network_is_an_error_and_no_slot_is_kept_for_it(rig: Rig) -> None:
    rig.client.script = [EndpointConnectionError(endpoint_url="https://ec2")]
    fleet = rig.fleet()
    with pytest.raises(BackendUnavailableError):
        fleet.launch(1)
    assert fleet.launch(3).launched == ()
    rig.clock.now += 3
    assert len(fleet.launch(3).launched) == 3


def test_without_a_network_launches_are_tried_three_times_a_minute(rig: Rig) -> None:
    fleet = rig.fleet()
    times = []
    for _ in range(600):
        rig.client.script = [EndpointConnectionError(endpoint_url="https://ec2")]
        before = len(rig.candidates())
        with suppress(IraasError):
            fleet.launch(3)
        times += [rig.clock.now] * (len(rig.candidates()) - before)
        rig.clock.now += 1
    gaps = [round(b - a) for a, b in itertools.pairwise(times)]
    assert (gaps[:4], set(gaps[4:])) == ([2, 4, 8, 16], {20})


def test_a_token_that_was_used_with_other_parameters_keeps_its_slot(rig: Rig) -> None:
    rig.client.script = [error("IdempotentParameterMismatch")] * 2
    launch = rig.fleet().launch(1)
    assert "unconfirmed launches (slots stay reserved): 1" in launch.shortfall


def test_a_corrupt_entry_closes_its_slot_and_no_other(rig: Rig) -> None:
    rig.store.put("fleet/worker/01/0000000001", b'{"state": "ended"}')
    rig.store.put("fleet/worker/junk", b"?")
    rig.fleet().launch(3)
    assert sorted(one.tags["iraas:slot"] for one in rig.ec2.live()) == ["0", "2"]


def test_a_recreated_deployment_does_not_reuse_old_tokens(rig: Rig) -> None:
    fleet = rig.fleet()
    fleet.terminate(fleet.launch(1).launched)
    rig.store.delete([one.key for one in rig.store.list()])
    assert len(rig.fleet().launch(1).launched) == 1
    assert rig.alive() == 1


def test_the_ledger_drops_old_entries_and_keeps_its_position(rig: Rig) -> None:
    fleet = rig.fleet()
    for _ in range(3):
        fleet.terminate(fleet.launch(1).launched)
        rig.clock.now += 1
    entries = [one.key for one in rig.store.list("fleet/worker/00/")]
    assert len(entries) == 8  # thrice claimed and occupied, twice ended
    rig.clock.now += KEEP_SUPERSEDED_S
    fleet.launch(1)
    rig.clock.now += KEEP_SUPERSEDED_S + 3700
    rig.fleet()
    ledger = LaunchLedger(rig.store, "worker")
    assert ledger.prune(rig.clock.now) > 0
    assert len(list(rig.store.list("fleet/worker/00/"))) < 8
    assert ledger.latest()[0].generation == 4


def test_the_ledger_is_human_readable(rig: Rig) -> None:
    rig.fleet("laptop").launch(1)
    keys = [one.key for one in rig.store.list("fleet/worker/00/")]
    entry = json.loads(rig.store.get(keys[-1]))
    assert (entry["state"], entry["by"], entry["generation"]) == ("occupied", "laptop", 1)
    assert entry["option"]["kind"] == "c6a.large"


@pytest.mark.parametrize("capacity", [0, 20])
def test_a_fleet_has_1_to_19_slots(rig: Rig, capacity: int) -> None:
    rig.capacity = capacity
    with pytest.raises(ValueError, match=r"1\.\.19"):
        rig.fleet()
