"""Never above the cap, never an orphan, all work done: two controllers on a hostile EC2."""

import os
import random
from dataclasses import dataclass
from unittest.mock import MagicMock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iraas.backends.aws.fleet.ec2_fleet import Ec2Fleet
from iraas.backends.aws.fleet.ec2_launch import LATEST_EFFECT_S, guard_launches
from iraas.backends.aws.fleet.fake_ec2 import Ec2Faults, FakeEc2
from iraas.backends.aws.fleet.launch_candidates import LaunchCandidates, launch_candidates
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger
from iraas.backends.aws.names import Names
from iraas.controller.controller import Controller, ControllerConfig
from iraas.core.autoscaling import BacklogPolicy
from iraas.core.ports import Backend, QueueDepth
from iraas.errors import IraasError
from tests.fakes.clock import Clock
from tests.fakes.virtual_ec2 import (
    Images,
    Scheduler,
    Store,
    SwitchingEc2,
)

SCHEDULES = int(os.environ.get("IRAAS_TEST_SCHEDULES", "50"))
WORLD_ENDS_S = 6 * 86_400.0


@dataclass(frozen=True)
class Plan:
    """One simulation: its fault rates and its work."""

    seed: int
    cap: int
    images: int
    faults: Ec2Faults
    pause: float
    store_fails: float
    hang: float
    interrupt: float


CHANCE = st.sampled_from([0.0, 0.1, 0.3])
FAULTS = st.builds(
    Ec2Faults,
    refuse=CHANCE,
    deny=CHANCE,
    lose_request=st.sampled_from([0.0, 0.1]),
    delay_request=st.sampled_from([0.0, 0.1, 0.25]),
    lose_reply=st.sampled_from([0.0, 0.1, 0.25]),
    server_error=st.sampled_from([0.0, 0.1]),
    listing_lag_s=st.sampled_from([0.0, 20.0, 240.0]),
    shutdown_s=st.sampled_from([0.0, 60.0]),
)
PLANS = st.builds(
    Plan,
    seed=st.integers(0, 2**32),
    cap=st.sampled_from([1, 2, 3, 5, 19]),
    images=st.integers(1, 40),
    faults=FAULTS,
    pause=st.sampled_from([0.0, 0.01, 0.05]),
    store_fails=st.sampled_from([0.0, 0.05]),
    hang=st.sampled_from([0.0, 0.2]),
    interrupt=st.sampled_from([0.0, 0.01]),
)


class World:
    """Two controllers that both believe they hold the lease, until nothing is left to do."""

    def __init__(self, plan: Plan) -> None:
        rng = random.Random(plan.seed)
        self.clock = Clock()
        self.ec2 = FakeEc2(self.clock, rng, plan.faults)
        self.scheduler = Scheduler(self.clock, rng, plan.pause)
        self.records = Store(self.clock, rng)
        self.images = Images(
            self.ec2, self.clock, rng, self.records, plan.images, plan.hang, plan.interrupt
        )
        self.scheduler.on_time = self.images.step
        self._ledger_store = Store(self.clock, rng, self.scheduler.switch, fail=plan.store_fails)
        self._plan = plan
        self._born = self.clock.now
        self._quiet_since = self._born

    def run(self) -> None:
        self.scheduler.run([self._controller, self._controller])

    @property
    def busy(self) -> bool:
        """Whether work is left, or pending requests may still take effect."""
        images = self.images
        depth = images.waiting + images.depth().in_flight
        if depth or self.ec2.live() or self.ec2.pending_effects():
            self._quiet_since = self.clock.now
        return self.clock.now - self._quiet_since < LATEST_EFFECT_S

    def _controller(self) -> None:
        controller: Controller | None = None
        while self.busy:
            assert self.clock.now - self._born < WORLD_ENDS_S, "the work is never done"
            controller = controller or self._new_controller()
            try:
                controller.tick()
            except IraasError:
                controller = None  # as if it crashed: a new one knows nothing of this
            self.scheduler.sleep(5 if self._quiet_since == self.clock.now else 120)

    def _new_controller(self) -> Controller:
        names = Names("world")
        client = SwitchingEc2(self.ec2, self.clock, self.scheduler.switch)
        guard_launches(client, self.clock)
        instance_types, subnets = ["c6a.large", "c6i.large"], ["subnet-a", "subnet-b"]
        tried = launch_candidates(instance_types, subnets, ["spot", "on-demand"])
        candidates = LaunchCandidates(tried, self.clock)
        fleet = Ec2Fleet(
            client,
            client,
            LaunchLedger(self._ledger_store, "worker"),
            names,
            lambda: candidates,
            capacity=self._plan.cap,
            parallel=1,
            clock=self.clock,
        )
        backend = MagicMock(spec=Backend)
        backend.fleet = fleet
        backend.records = self.records
        backend.requests.depth = self.images.depth
        backend.dead_letters.depth.return_value = QueueDepth(0, 0, 0)
        backend.lease.hold.return_value = True
        timing = ControllerConfig(
            startup_timeout_s=400.0, heartbeat_timeout_s=300.0, cleanup_interval_s=1e9
        )
        return Controller(backend, BacklogPolicy(), cap=19, config=timing, clock=self.clock)


def check(plan: Plan) -> None:
    world = World(plan)
    world.run()
    assert world.ec2.peak <= plan.cap
    assert world.ec2.live() == []
    assert world.images.done == plan.images


@settings(max_examples=SCHEDULES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLANS)
def test_two_controllers_never_exceed_the_cap_leave_no_orphan_and_finish_the_work(
    plan: Plan,
) -> None:
    check(plan)
