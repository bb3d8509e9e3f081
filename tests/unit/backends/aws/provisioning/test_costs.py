"""The hourly costs of a deployment, estimated before it is created."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from iraas.backends.aws.fleet.config import FleetConfig
from iraas.backends.aws.fleet.ec2_fleet import Ec2Fleet
from iraas.backends.aws.fleet.fake_ec2 import FakeEc2
from iraas.backends.aws.fleet.launch_candidates import LaunchCandidates, launch_candidates
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger
from iraas.backends.aws.names import Names
from iraas.backends.aws.pricing.prices import load_prices
from iraas.backends.aws.provisioning.costs import (
    IDLE_READS_AN_HOUR,
    IDLE_WRITES_AN_HOUR,
    deployment_costs,
)
from iraas.backends.memory import MemoryBackend, MemoryStore
from iraas.controller.controller import Controller, ControllerConfig
from iraas.core.autoscaling import BacklogPolicy
from iraas.core.keys import instance_key, worker_key
from iraas.core.ports import StoredObject
from iraas.core.records import InstanceRecord, WorkerRecord
from iraas.monitoring.status import StatusCache, take_status
from tests.fakes.clock import Clock

PRICES = load_prices("us-east-1")


def test_the_web_tier_costs_its_instance_and_its_calls() -> None:
    costs = deployment_costs(FleetConfig(), PRICES)
    assert costs.web_hour == pytest.approx(
        PRICES.hour_usd("t3.small", "on-demand") + costs.web_calls_hour
    )
    assert 0.01 < costs.web_calls_hour < 0.02
    assert any("of it for calls" in line for line in costs.lines())


def test_a_type_without_a_price_is_reported_and_counts_as_the_dearest() -> None:
    costs = deployment_costs(
        FleetConfig(instance_types=("c6a.large", "x9.huge"), capacity=2), PRICES
    )
    assert costs.unpriced == ("x9.huge",)
    assert costs.full_hour == 2 * PRICES.hour_usd("x9.huge", "on-demand")
    assert "x9.huge has no price and counts as the most expensive type." in costs.lines()


def test_at_rest_nothing_is_billed_by_the_hour() -> None:
    costs = deployment_costs(FleetConfig(), PRICES)
    assert costs.rest_hour == 0
    assert costs.unpriced == ()


class BilledStore(MemoryStore):
    """A store that counts its calls as S3 bills them."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.calls: Counter[str] = Counter()

    def put(self, key: str, data: bytes) -> None:
        self.calls["write"] += 1
        super().put(key, data)

    def put_if_absent(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        self.calls["write"] += len(objects)
        return super().put_if_absent(objects)

    def get(self, key: str) -> bytes:
        self.calls["read"] += 1
        return super().get(key)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        self.calls["write"] += 1
        return super().list(prefix, after=after)


def test_an_idle_web_tier_makes_no_more_calls_than_the_estimate_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    backend = MemoryBackend(clock=clock)
    store = BilledStore(clock)
    options = LaunchCandidates(launch_candidates(["c6a.large"], ["a"], ["spot"]), clock)
    ec2 = FakeEc2(clock, random.Random(1))
    ledger = LaunchLedger(store, "worker")
    fleet = Ec2Fleet(ec2, ec2, ledger, Names("demo"), lambda: options, clock=clock)
    monkeypatch.setattr(backend, "records", store)
    monkeypatch.setattr(backend, "fleet", fleet)
    fleet.terminate(fleet.launch(19).launched)
    for n in range(200):  # those who worked here before
        gone = WorkerRecord(f"i-{n}", "gone", clock.now, clock.now)
        store.put(worker_key(gone.worker_id), gone.encode())
        ended = InstanceRecord(gone.worker_id, "c6a.large", "spot", clock.now, clock.now)
        store.put(instance_key(gone.worker_id), ended.encode())
    clock.now += 7200
    timing = ControllerConfig(poll_interval_s=2.0, idle_s=20.0)
    controller = Controller(backend, BacklogPolicy(), cap=19, config=timing, clock=clock)
    memory = StatusCache(backend, clock)
    controller.tick()
    take_status(backend, "demo", clock, memory)
    store.calls.clear()
    ends, looks_at, status_at = clock.now + 3600, clock.now, clock.now
    lease_writes = lease_reads = 0
    while clock.now < ends:
        if clock.now >= looks_at:
            controller.tick()
            lease_writes += 1  # it is renewed after 20 s
            looks_at = clock.now + timing.poll_interval_s + timing.idle_s
        if clock.now >= status_at:
            take_status(backend, "demo", clock, memory)
            lease_reads += 1  # its holder is asked for
            status_at = clock.now + 5
        clock.now += 1
    assert store.calls["write"] + lease_writes < IDLE_WRITES_AN_HOUR
    assert store.calls["read"] + lease_reads < IDLE_READS_AN_HOUR
    assert store.calls["write"] + lease_writes > 0.9 * IDLE_WRITES_AN_HOUR
