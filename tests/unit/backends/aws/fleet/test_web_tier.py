"""The web tier's launch, in an account that is minutes old."""

import random
from dataclasses import replace

import pytest

from iraas.backends.aws.fleet.ec2_fleet import READY_WITHIN_S, Ec2Fleet, launch_web_tier
from iraas.backends.aws.fleet.fake_ec2 import Ec2Faults, FakeEc2
from iraas.backends.aws.fleet.launch_candidates import (
    MAX_SHORT_COOLDOWN_S,
    LaunchCandidates,
    launch_candidates,
)
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger
from iraas.backends.aws.names import Names
from iraas.core.ports import Launch
from iraas.errors import PermissionDeniedError
from tests.fakes.clock import Clock
from tests.fakes.virtual_ec2 import Store


class World:
    """A web tier's fleet on the fake, with a clock that sleeping advances."""

    def __init__(self) -> None:
        rng = random.Random(3)
        self.clock = Clock()
        self.ec2 = FakeEc2(self.clock, rng, Ec2Faults())
        options = LaunchCandidates(
            launch_candidates(["t3.small"], ["a"], ["on-demand"]), self.clock
        )
        self.fleet = Ec2Fleet(
            self.ec2,
            self.ec2,
            LaunchLedger(Store(self.clock, rng), "web"),
            Names("demo"),
            lambda: options,
            capacity=1,
            role="web",
            template="iraas-demo-web",
            clock=self.clock,
        )

    def launch(self) -> Launch:
        return launch_web_tier(self.fleet, sleep=self.sleep, clock=self.clock)

    def sleep(self, seconds: float) -> None:
        self.clock.now += seconds


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("ready_after_s", [0.0, 5.0, 60.0, READY_WITHIN_S - 1])
def test_a_role_that_is_known_within_two_minutes_is_waited_for(
    world: World, ready_after_s: float
) -> None:
    began = world.clock.now
    world.ec2.faults = replace(world.ec2.faults, profile_ready_at=began + ready_after_s)
    launch = world.launch()
    assert len(launch.launched) == len(world.ec2.live()) == 1
    assert ready_after_s <= world.clock.now - began <= READY_WITHIN_S + MAX_SHORT_COOLDOWN_S


def test_a_role_that_stays_unknown_is_reported_after_two_minutes(
    world: World,
) -> None:
    began = world.clock.now
    world.ec2.faults = replace(world.ec2.faults, profile_ready_at=float("inf"))
    launch = world.launch()
    assert launch.launched == ()
    assert "InstanceProfileNotReady" in launch.shortfall
    assert "capacity" not in launch.shortfall
    assert READY_WITHIN_S <= world.clock.now - began <= READY_WITHIN_S + MAX_SHORT_COOLDOWN_S


def test_lack_of_capacity_is_reported_at_once(world: World) -> None:
    began = world.clock.now
    world.ec2.faults = replace(world.ec2.faults, refuse=1.0)
    # One of the fake's refusals is throttling, which is worth a second try.
    while (launch := world.launch()).shortfall.startswith("not ready yet"):
        began = world.clock.now
    assert launch.shortfall.startswith("capacity-limited")
    assert world.clock.now - began < READY_WITHIN_S


def test_a_missing_permission_is_an_error_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = world.clock.now
    world.ec2.faults = replace(world.ec2.faults, deny=1.0)
    monkeypatch.setattr(
        "iraas.backends.aws.fleet.fake_ec2.DENIAL_CODES", (("UnauthorizedOperation", 403),)
    )
    with pytest.raises(PermissionDeniedError):
        world.launch()
    assert world.clock.now == began


def test_a_web_tier_that_is_there_is_not_launched_again(world: World) -> None:
    first = world.launch()
    assert world.launch() == Launch(first.launched)
    assert len(world.ec2.live()) == 1


def test_a_burstable_type_cannot_cost_more_than_its_price(world: World) -> None:
    world.launch()
    (launched,) = world.ec2.live()
    assert launched.request["CreditSpecification"] == {"CpuCredits": "standard"}
