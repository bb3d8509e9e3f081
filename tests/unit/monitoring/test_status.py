"""The state of a deployment, rebuilt at each read."""

import json
from dataclasses import replace

import pytest

from iraas.backends.aws.pricing.prices import load_prices
from iraas.backends.memory import MemoryBackend
from iraas.core.keys import LAST_DECISION, instance_key, worker_key
from iraas.core.ports import Instance, InstanceState, OutboundMessage, QueueDepth
from iraas.core.records import InstanceRecord, ScalingDecision, WorkerRecord, WorkerState
from iraas.monitoring.status import FRESH_S, Status, take_status
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import receive, request, send


def read_status(backend: MemoryBackend, clock: Clock) -> Status:
    return take_status(backend, "iraas", clock)


def says(
    backend: MemoryBackend, clock: Clock, worker_id: str, state: WorkerState, **more: object
) -> None:
    record = WorkerRecord(worker_id, state, started_at=clock.now, beat_at=clock.now)
    backend.records.put(worker_key(worker_id), replace(record, **more).encode())  # type: ignore[arg-type]


def test_a_deployment_that_never_did_anything(backend: FlakyBackend, clock: Clock) -> None:
    assert read_status(backend, clock) == Status(
        deployment="iraas",
        backend="memory",
        at=clock.now,
        queue=QueueDepth(0, 0, 0),
        dead_letters=0,
        workers=(),
        done=0,
        failed=0,
        images_per_s=0.0,
        spent_usd=0.0,
        hour_usd=0.0,
        per_thousand_usd=None,
        controller="",
        decision=None,
    )


def test_the_depth_of_the_queues(backend: FlakyBackend, clock: Clock) -> None:
    send(backend, [request(index) for index in range(5)])
    backend.requests.send([OutboundMessage("later", delay_s=60.0)])
    receive(backend, 2)
    backend.dead_letters.send([OutboundMessage("x")])
    status = read_status(backend, clock)
    assert status.queue == QueueDepth(3, 2, 1)
    assert status.dead_letters == 1


def test_workers_by_state_with_their_age_the_oldest_first(
    backend: FlakyBackend, clock: Clock
) -> None:
    (booting,) = backend.fleet.launch(1).launched
    clock.advance(5.0)
    running, starting = backend.fleet.launch(2).launched
    says(backend, clock, running, "running", done=7, failed=2, images_per_s=3.5)
    says(backend, clock, starting, "starting")
    clock.advance(2.0)
    workers = {one.worker_id: one for one in read_status(backend, clock).workers}
    assert next(iter(workers)) == booting
    assert [(one.state, one.age_s) for one in workers.values()] == [
        ("booting", 7.0),
        ("running", 2.0),
        ("starting", 2.0),
    ]
    assert (workers[running].done, workers[running].images_per_s) == (7, 3.5)


def test_a_manual_worker_is_listed_while_it_reports(backend: FlakyBackend, clock: Clock) -> None:
    says(backend, clock, "w-hand", "running", images_per_s=2.0, manual=True)
    (worker,) = read_status(backend, clock).workers
    assert (worker.worker_id, worker.kind, worker.state) == ("w-hand", "by hand", "running")
    clock.advance(FRESH_S)
    assert read_status(backend, clock).workers == ()


def test_a_worker_missing_from_the_fleet_is_stopped_whatever_its_record_says(
    backend: FlakyBackend, clock: Clock
) -> None:
    says(backend, clock, "w-killed", "running", done=4)
    assert read_status(backend, clock).workers == ()
    assert read_status(backend, clock).done == 4


@pytest.mark.parametrize("state", ["gone", "broken"])
def test_a_worker_that_left_counts_by_its_work_alone(
    state: WorkerState, backend: FlakyBackend, clock: Clock
) -> None:
    says(backend, clock, "w-left", state, done=10, failed=3, images_per_s=9.0, manual=True)
    status = read_status(backend, clock)
    assert status.workers == ()
    assert (status.done, status.failed, status.images_per_s) == (10, 3, 0.0)


def test_corrupt_records_are_skipped(backend: FlakyBackend, clock: Clock) -> None:
    backend.records.put(worker_key("w-odd"), b"{")
    backend.records.put(LAST_DECISION, b"{")
    status = read_status(backend, clock)
    assert status.workers == ()
    assert status.decision is None


def test_the_controller_and_its_last_decision(backend: FlakyBackend, clock: Clock) -> None:
    decision = ScalingDecision(clock.now, 1, 0, 0, 0, 0, 1, 1, "1 images wait", {"w-1": "silent"})
    backend.records.put(LAST_DECISION, decision.encode())
    backend.lease.hold()
    status = read_status(backend, clock)
    assert status.decision == decision
    assert status.controller == "a controller"


def test_the_json_is_pinned(backend: FlakyBackend, clock: Clock) -> None:
    (worker_id,) = backend.fleet.launch(1).launched
    decision = ScalingDecision(1.0, 1, 2, 3, 4, 5, 6, 7, "why", {}, 8)
    backend.records.put(LAST_DECISION, decision.encode())
    value = json.loads(json.dumps(read_status(backend, clock).to_json()))
    assert value == {
        "deployment": "iraas",
        "backend": "memory",
        "at": clock.now,
        "queue": {"visible": 0, "in_flight": 0, "delayed": 0},
        "dead_letters": 0,
        "workers": [
            {
                "worker_id": worker_id,
                "state": "booting",
                "age_s": 0.0,
                "kind": "memory",
                "pricing": "free",
                "done": 0,
                "images_per_s": 0.0,
            }
        ],
        "done": 0,
        "failed": 0,
        "images_per_s": 0.0,
        "spent_usd": 0.0,
        "hour_usd": 0.0,
        "per_thousand_usd": None,
        "controller": "",
        "decision": {
            "at": 1.0,
            "visible": 1,
            "in_flight": 2,
            "delayed": 3,
            "booting": 4,
            "running": 5,
            "wanted": 6,
            "launched": 7,
            "reason": "why",
            "removed": {},
            "broken_in_a_row": 8,
        },
        "machines": [],
        "unpriced": [],
    }


def test_the_web_tier_is_shown_and_paid_for(
    backend: FlakyBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = clock.now - 3600
    others = [
        Instance("i-builder", InstanceState.BOOTING, clock.now, "x9.huge", "on-demand", "builder"),
        Instance("i-web", InstanceState.RUNNING, at, "t3.small", "on-demand", "web"),
    ]
    prices = load_prices("us-east-1")
    monkeypatch.setattr(backend.fleet, "non_worker_instances", lambda: others)
    monkeypatch.setattr(backend, "pricing", prices)
    status = read_status(backend, clock)
    assert [(one.instance_id, one.role, one.state, one.age_s) for one in status.machines] == [
        ("i-web", "web", "running", 3600.0),
        ("i-builder", "builder", "booting", 0.0),
    ]
    web_usd = prices.hour_usd("t3.small", "on-demand")
    assert status.spent_usd == round(web_usd, 4)
    assert status.hour_usd == prices.hour_usd("x9.huge", "on-demand") + web_usd
    assert status.workers == ()
    clock.advance(60.0)
    assert read_status(backend, clock).unpriced == ("x9.huge",)


def test_spending_stops_growing_after_the_last_worker_exited(
    backend: FlakyBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "pricing", load_prices("us-east-1"))
    record = InstanceRecord("i-1", "c6a.large", "spot", clock.now)
    backend.records.put(instance_key("i-1"), record.encode())
    clock.advance(3600.0)
    says(backend, clock, "i-1", "gone", done=10)
    clock.advance(300.0)
    spent_usd = read_status(backend, clock).spent_usd
    assert 0 < spent_usd < 0.05
    clock.advance(86_400.0)
    assert read_status(backend, clock).spent_usd == spent_usd
