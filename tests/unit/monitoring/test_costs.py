"""Spending of a deployment is recorded, summed, and bounded."""

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.controller.controller import Controller, ControllerConfig
from iraas.core.autoscaling import BacklogPolicy
from iraas.core.keys import INSTANCES, LAST_DECISION, instance_key, worker_key
from iraas.core.ports import Instance, InstanceState, OutboundMessage
from iraas.core.records import ScalingDecision, WorkerRecord, decode_instance
from iraas.monitoring.costs import (
    END_MARGIN_S,
    CostTracker,
    Spent,
    delete_budget,
    get_budget,
    set_budget,
)
from tests.fakes.clock import Clock


class DollarAnHour:
    """A price list with one price."""

    def hour_usd(self, instance_type: str, pricing: str) -> float:
        return 1.0

    def cost_usd(self, instance_type: str, pricing: str, seconds: float) -> float:
        return seconds / 3600

    def has_price(self, instance_type: str) -> bool:
        return instance_type == "c6a.large"


def instance(
    name: str, launched_at: float, pricing: str = "spot", role: str = "worker"
) -> Instance:
    return Instance(name, InstanceState.RUNNING, launched_at, "c6a.large", pricing, role)


def ledger(backend: MemoryBackend, clock: Clock) -> CostTracker:
    return CostTracker(backend, DollarAnHour(), clock)


def beats(backend: MemoryBackend, clock: Clock, worker_id: str) -> None:
    record = WorkerRecord(worker_id, "running", started_at=clock.now, beat_at=clock.now)
    backend.records.put(worker_key(worker_id), record.encode())


def test_an_instance_costs_from_its_launch_until_it_is_gone() -> None:
    clock, backend = Clock(), MemoryBackend()
    spend = ledger(backend, clock)
    there = [instance("i-1", clock.now)]
    spend.observe(there)
    clock.now += 3600
    assert spend.spent(there).usd == 1.0
    spend.observe(there)
    spend.observe([])
    clock.now += 3600
    assert spend.spent([]).usd == 1.0


def test_another_tracker_continues_after_the_first_was_killed() -> None:
    clock, backend = Clock(), MemoryBackend()
    one, two = instance("i-1", clock.now), instance("i-2", clock.now)
    ledger(backend, clock).observe([one, two])
    clock.now += 1800
    beats(backend, clock, "i-1")
    second = ledger(backend, clock)
    second.observe([two])
    clock.now += 1800
    assert second.spent([two]).usd == 1.5


def test_spending_stops_once_nothing_runs_even_without_a_controller() -> None:
    clock, backend = Clock(), MemoryBackend()
    ledger(backend, clock).observe([instance("i-1", clock.now)])
    clock.now += 3600
    beats(backend, clock, "i-1")
    clock.now += 600
    soon = ledger(backend, clock).spent([]).usd
    assert soon == (3600 + END_MARGIN_S) / 3600
    clock.now += 86_400
    assert ledger(backend, clock).spent([]).usd == soon


def test_a_later_controller_does_not_postpone_the_recorded_end() -> None:
    clock, backend = Clock(), MemoryBackend()
    ledger(backend, clock).observe([instance("i-1", clock.now)])
    clock.now += 3600
    beats(backend, clock, "i-1")
    clock.now += 86_400
    late = ledger(backend, clock)
    late.observe([])
    assert late.spent([]).usd == (3600 + END_MARGIN_S) / 3600


def test_an_instance_that_never_said_anything_was_there_at_the_last_decision_at_least() -> None:
    clock, backend = Clock(), MemoryBackend()
    ledger(backend, clock).observe([instance("i-1", clock.now)])
    clock.now += 1800
    decision = ScalingDecision(clock.now, 1, 0, 0, 0, 0, 1, 0, "1 image waits")
    backend.records.put(LAST_DECISION, decision.encode())
    clock.now += 86_400
    assert ledger(backend, clock).spent([]).usd == (1800 + END_MARGIN_S) / 3600


def test_an_end_is_never_in_the_future() -> None:
    clock, backend = Clock(), MemoryBackend()
    ledger(backend, clock).observe([instance("i-1", clock.now)])
    clock.now += 36
    beats(backend, clock, "i-1")
    assert ledger(backend, clock).spent([]).usd == 0.01


def test_only_what_was_spent_since_a_moment_counts() -> None:
    clock, backend = Clock(), MemoryBackend()
    spend = ledger(backend, clock)
    there = [instance("i-1", clock.now)]
    spend.observe(there)
    clock.now += 3600
    assert spend.spent(there, since=clock.now - 900).usd == 0.25
    assert spend.spent(there, since=clock.now).usd == 0.0


def test_the_web_tier_is_charged_and_is_not_part_of_the_fleet() -> None:
    clock, backend = Clock(), MemoryBackend()
    spend = ledger(backend, clock)
    web = instance("i-web", clock.now, "on-demand", "web")
    spend.observe([web], of_fleet=False)
    clock.now += 3600
    spend.observe([])  # the fleet is empty, and that says nothing of the web tier
    spend.observe([web], of_fleet=False)
    assert spend.spent([web]).usd == 1.0
    spend.observe([], of_fleet=False)
    clock.now += 86_400
    assert spend.spent([]).usd == 1.0


def test_unrecorded_running_instances_count() -> None:
    clock, backend = Clock(), MemoryBackend()
    web = instance("i-web", clock.now - 1800, "on-demand", "web")
    assert ledger(backend, clock).spent([web]).usd == 0.5


def test_a_kind_without_a_price_is_named() -> None:
    clock, backend = Clock(), MemoryBackend()
    odd = Instance("i-1", InstanceState.RUNNING, clock.now - 3600, "x9.huge", "spot")
    assert ledger(backend, clock).spent([odd]) == Spent(1.0, ("x9.huge",))


def test_free_instances_are_not_recorded() -> None:
    clock, backend = Clock(), MemoryBackend()
    ledger(backend, clock).observe([instance("w-1", clock.now, pricing="free")])
    assert list(backend.records.list("instances/")) == []


def test_a_limit_is_reached_and_lifted() -> None:
    clock, backend = Clock(), MemoryBackend()
    spend = ledger(backend, clock)
    there = [instance("i-1", clock.now)]
    spend.observe(there)
    set_budget(backend, 0.5, since=clock.now)
    assert spend.is_exhausted(there) == ""
    clock.now += 1800
    assert "limit of $0.50" in spend.is_exhausted(there)
    delete_budget(backend)
    assert spend.is_exhausted(there) == ""
    assert get_budget(backend) is None


def test_a_controller_launches_nothing_once_the_limit_is_reached() -> None:
    clock, backend = Clock(), MemoryBackend()
    backend.requests.send([OutboundMessage("{}")])
    set_budget(backend, 0.0, since=clock.now)
    decision = Controller(backend, BacklogPolicy(), cap=2, clock=clock).tick()
    assert decision is not None
    assert decision.launched == 0
    assert "limit of $0.00" in decision.reason
    delete_budget(backend)
    backend.lease.release()
    decision = Controller(backend, BacklogPolicy(), cap=2, clock=clock).tick()
    assert decision is not None
    assert decision.launched == 1


def test_a_controller_records_the_start_and_end_of_the_web_tier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, backend = Clock(), MemoryBackend()
    others = [instance("i-web", clock.now, "on-demand", "web")]
    monkeypatch.setattr(backend.fleet, "non_worker_instances", lambda: others)
    timing = ControllerConfig(cleanup_interval_s=30.0)
    controller = Controller(backend, BacklogPolicy(), cap=2, config=timing, clock=clock)
    controller.tick()
    (entry,) = [one.key for one in backend.records.list(INSTANCES)]
    assert entry == instance_key("i-web")
    clock.now += 31
    others.clear()
    controller.tick()
    record = decode_instance(backend.records.get(entry))
    assert (record.role, record.ended_at) == ("web", clock.now)
