"""What a deployment spends is written down, added up, and bounded."""

from iraas.backends.memory import MemoryBackend
from iraas.core.ports import Instance, InstanceState, OutboundMessage
from iraas.core.scaling import BacklogPolicy
from iraas.services.controller import Controller
from iraas.services.spend import SpendLedger, lift_spend_limit, limit_spending, spend_limit


class DollarAnHour:
    """A price list with one price."""

    def hour_usd(self, kind: str, pricing: str) -> float:
        return 1.0

    def cost_usd(self, kind: str, pricing: str, seconds: float) -> float:
        return seconds / 3600


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def instance(name: str, launched_at: float, pricing: str = "spot") -> Instance:
    return Instance(name, InstanceState.RUNNING, launched_at, "c6a.large", pricing)


def ledger(backend: MemoryBackend, clock: Clock) -> SpendLedger:
    return SpendLedger(backend, DollarAnHour(), clock)


def test_an_instance_costs_from_its_launch_until_it_is_gone() -> None:
    clock, backend = Clock(), MemoryBackend()
    spend = ledger(backend, clock)
    spend.observe([instance("i-1", clock.now)])
    clock.now += 3600
    assert spend.spent_usd() == 1.0
    spend.observe([])
    clock.now += 3600
    assert spend.spent_usd() == 1.0


def test_another_ledger_goes_on_where_the_first_was_killed() -> None:
    clock, backend = Clock(), MemoryBackend()
    ledger(backend, clock).observe([instance("i-1", clock.now), instance("i-2", clock.now)])
    clock.now += 1800
    second = ledger(backend, clock)
    second.observe([instance("i-2", clock.now - 1800)])
    clock.now += 1800
    assert second.spent_usd() == 1.5


def test_only_what_was_spent_since_a_moment_counts() -> None:
    clock, backend = Clock(), MemoryBackend()
    spend = ledger(backend, clock)
    spend.observe([instance("i-1", clock.now)])
    clock.now += 3600
    assert spend.spent_usd(since=clock.now - 900) == 0.25
    assert spend.spent_usd(since=clock.now) == 0.0


def test_what_is_free_is_not_written_down() -> None:
    clock, backend = Clock(), MemoryBackend()
    ledger(backend, clock).observe([instance("w-1", clock.now, pricing="free")])
    assert list(backend.records.list("instances/")) == []


def test_a_limit_is_reached_and_lifted() -> None:
    clock, backend = Clock(), MemoryBackend()
    spend = ledger(backend, clock)
    spend.observe([instance("i-1", clock.now)])
    limit_spending(backend, 0.5, since=clock.now)
    assert spend.is_exhausted() == ""
    clock.now += 1800
    assert "limit of $0.50" in spend.is_exhausted()
    lift_spend_limit(backend)
    assert spend.is_exhausted() == ""
    assert spend_limit(backend) is None


def test_a_controller_launches_nothing_once_the_limit_is_reached() -> None:
    clock, backend = Clock(), MemoryBackend()
    backend.requests.send([OutboundMessage("{}")])
    limit_spending(backend, 0.0, since=clock.now)
    decision = Controller(backend, BacklogPolicy(), cap=2, clock=clock).tick()
    assert decision is not None
    assert decision.launched == 0
    assert "limit of $0.00" in decision.reason
    lift_spend_limit(backend)
    backend.lease.release()
    decision = Controller(backend, BacklogPolicy(), cap=2, clock=clock).tick()
    assert decision is not None
    assert decision.launched == 1
