"""The controller: observe, decide, act, and record the reason."""

import threading
from dataclasses import replace
from functools import partial

import pytest

from iraas.controller.controller import (
    LOST_INSTANCE,
    MAX_BROKEN_WORKERS,
    SILENT_INSTANCE,
    Controller,
    ControllerConfig,
)
from iraas.core.autoscaling import BacklogPolicy
from iraas.core.keys import DECISIONS, LAST_DECISION, worker_key
from iraas.core.ports import Instance, Launch, OutboundMessage, QueueDepth
from iraas.core.records import ScalingDecision, WorkerRecord, WorkerState, decode_decision
from iraas.errors import BackendUnavailableError, PermissionDeniedError
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import count_outcomes, receive, request, send, stored
from tests.waiting import PATIENCE_S, wait_until

CAP = 3


@pytest.fixture
def controller(backend: FlakyBackend, clock: Clock) -> Controller:
    return made(backend, clock)


def made(
    backend: FlakyBackend, clock: Clock, cap: int = CAP, config: ControllerConfig | None = None
) -> Controller:
    return Controller(backend, BacklogPolicy(), cap=cap, config=config, clock=clock)


def tick(controller: Controller) -> ScalingDecision:
    decision = controller.tick()
    assert decision is not None
    return decision


def says(
    backend: FlakyBackend, clock: Clock, worker_id: str, state: WorkerState, **more: object
) -> None:
    """Store the record of a worker."""
    record = WorkerRecord(worker_id, state, started_at=clock.now, beat_at=clock.now)
    backend.records.put(worker_key(worker_id), replace(record, **more).encode())  # type: ignore[arg-type]


def leaves(
    backend: FlakyBackend, clock: Clock, worker_id: str, state: WorkerState, **more: object
) -> None:
    says(backend, clock, worker_id, state, **more)
    assert backend.fleet.end(worker_id)


def ids(backend: FlakyBackend) -> list[str]:
    return [one.instance_id for one in backend.fleet.instances()]


def decisions(backend: FlakyBackend) -> list[ScalingDecision]:
    keys = [one.key for one in backend.records.list(DECISIONS)]
    return [decode_decision(backend.records.get(key)) for key in keys]


def test_with_nothing_to_do_nothing_is_launched(
    controller: Controller, backend: FlakyBackend
) -> None:
    decision = tick(controller)
    assert (decision.wanted, decision.launched) == (0, 0)
    assert ids(backend) == []


def test_a_waiting_image_gets_a_worker(controller: Controller, backend: FlakyBackend) -> None:
    send(backend, [request(0)])
    decision = tick(controller)
    assert (decision.visible, decision.wanted, decision.launched) == (1, 1, 1)
    assert len(ids(backend)) == 1


def test_no_more_workers_than_the_cap(controller: Controller, backend: FlakyBackend) -> None:
    send(backend, [request(index) for index in range(50)])
    for _ in range(5):
        tick(controller)
    assert len(ids(backend)) == CAP


def test_the_cap_is_never_above_the_slots_of_the_fleet(backend: FlakyBackend, clock: Clock) -> None:
    send(backend, [request(index) for index in range(50)])
    decision = tick(made(backend, clock, cap=19))
    assert decision.wanted == backend.fleet.capacity == 4
    assert decision.launched == 4


def test_a_booting_worker_counts(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0), request(1)])
    assert tick(controller).launched == 2
    decision = tick(controller)
    assert (decision.booting, decision.running, decision.launched) == (2, 0, 0)
    says(backend, clock, ids(backend)[0], "running")
    decision = tick(controller)
    assert (decision.booting, decision.running, decision.launched) == (1, 1, 0)


def test_an_image_in_flight_keeps_its_worker_wanted(
    controller: Controller, backend: FlakyBackend
) -> None:
    send(backend, [request(0)])
    receive(backend)
    assert tick(controller).wanted == 1


def test_a_worker_that_drains_does_not_count(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0)])
    tick(controller)
    says(backend, clock, ids(backend)[0], "draining")
    assert tick(controller).launched == 1


def test_no_worker_is_ended_because_there_is_less_to_do(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0), request(1)])
    tick(controller)
    for worker_id in ids(backend):
        says(backend, clock, worker_id, "running")
    backend.requests.clear()
    decision = tick(controller)
    assert (decision.wanted, decision.removed) == (2, {})
    assert len(ids(backend)) == 2


def test_a_blocked_launch_is_in_the_reason(controller: Controller, backend: FlakyBackend) -> None:
    backend.fleet.available_capacity = 1
    send(backend, [request(0), request(1)])
    decision = tick(controller)
    assert (decision.wanted, decision.launched) == (2, 1)
    assert "there is capacity for 1 instances" in decision.reason


def test_a_second_controller_stands_by_and_takes_over(backend: FlakyBackend, clock: Clock) -> None:
    first, second = made(backend, clock), made(backend.rival(), clock)  # type: ignore[arg-type]
    send(backend, [request(0)])
    assert first.tick() is not None
    assert second.tick() is None
    backend.lease.release()
    assert second.tick() is not None
    assert first.tick() is None
    assert len(ids(backend)) == 1


def test_two_active_controllers_do_not_exceed_the_slots(
    backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(index) for index in range(50)])
    tick(made(backend, clock, cap=19))
    backend.lease.release()
    tick(made(backend.rival(), clock, cap=19))  # type: ignore[arg-type]
    assert len(ids(backend)) == backend.fleet.capacity


def test_a_restart_disturbs_no_worker(backend: FlakyBackend, clock: Clock) -> None:
    send(backend, [request(0), request(1)])
    tick(made(backend, clock))
    before = ids(backend)
    for worker_id in before:
        says(backend, clock, worker_id, "running")
    decision = tick(made(backend, clock))
    assert (decision.running, decision.launched, decision.removed) == (2, 0, {})
    assert ids(backend) == before


def test_an_instance_whose_worker_never_reports_is_removed_and_replaced(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0)])
    tick(controller)
    (lost,) = ids(backend)
    clock.advance(60.0)
    assert tick(controller).removed == {}
    clock.advance(0.5)
    decision = tick(controller)
    assert decision.removed == {lost: LOST_INSTANCE}
    assert decision.launched == 1
    assert ids(backend) != [lost]


def test_an_instance_whose_worker_falls_silent_is_removed(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0)])
    tick(controller)
    (silent,) = ids(backend)
    says(backend, clock, silent, "running")
    clock.advance(61.0)
    assert tick(controller).removed == {silent: SILENT_INSTANCE}


def test_a_worker_that_reports_is_left_alone_however_old(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0)])
    tick(controller)
    for _ in range(20):
        clock.advance(50.0)
        says(backend, clock, ids(backend)[0], "running")
        assert tick(controller).removed == {}


@pytest.mark.parametrize("record", [b"", b"{", b'{"worker_id": 5}', b"[]", b"\xff"])
def test_a_corrupt_record_counts_as_missing(
    record: bytes, controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0)])
    tick(controller)
    backend.records.put(worker_key(ids(backend)[0]), record)
    assert tick(controller).booting == 1


def test_failed_workers_delay_launches_exponentially(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0)])
    tick(controller)
    for broken, pause_s in enumerate([2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0], start=1):
        leaves(backend, clock, ids(backend)[0], "broken", reason="the bundle is corrupt")
        decision = tick(controller)
        assert (decision.broken_in_a_row, decision.launched) == (broken, 0)
        assert "the bundle is corrupt" in decision.reason
        clock.advance(pause_s - 0.1)
        assert tick(controller).launched == 0
        clock.advance(0.2)
        assert tick(controller).launched == 1


def test_a_worker_that_worked_resets_the_backoff(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0)])
    tick(controller)
    leaves(backend, clock, ids(backend)[0], "broken", reason="no disk")
    assert tick(controller).broken_in_a_row == 1
    clock.advance(3.0)
    tick(controller)
    leaves(backend, clock, ids(backend)[0], "gone", done=5)
    assert tick(controller).broken_in_a_row == 0


def test_a_worker_that_failed_after_working_does_not_count_as_failed(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0)])
    tick(controller)
    leaves(backend, clock, ids(backend)[0], "broken", done=40, reason="30 crashed within a minute")
    assert tick(controller).broken_in_a_row == 0


def test_an_exited_idle_worker_does_not_change_the_backoff(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(0)])
    tick(controller)
    leaves(backend, clock, ids(backend)[0], "broken", reason="no disk")
    tick(controller)
    clock.advance(3.0)
    tick(controller)
    leaves(backend, clock, ids(backend)[0], "gone")
    assert tick(controller).broken_in_a_row == 1


def test_a_decision_is_written_down_only_when_it_says_something_new(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    for _ in range(10):
        clock.advance(0.25)
        tick(controller)
    assert len(decisions(backend)) == 1
    send(backend, [request(0)])
    clock.advance(0.25)
    tick(controller)
    for _ in range(10):
        clock.advance(0.25)
        tick(controller)
    assert [(one.wanted, one.launched, one.booting) for one in decisions(backend)] == [
        (0, 0, 0),
        (1, 1, 0),
        (1, 0, 1),
    ]


def test_the_last_decision_is_renewed_as_a_sign_of_life(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    tick(controller)
    clock.advance(59.0)
    tick(controller)
    first = decode_decision(backend.records.get(LAST_DECISION))
    clock.advance(2.0)
    tick(controller)
    assert decode_decision(backend.records.get(LAST_DECISION)).at == first.at + 61.0
    assert len(decisions(backend)) == 1


def test_a_shrinking_backlog_updates_only_the_last_decision(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    send(backend, [request(index) for index in range(9)])
    tick(controller)
    tick(controller)
    history = len(decisions(backend))
    (message,) = receive(backend)
    backend.requests.delete([message.receipt])
    clock.advance(1.0)
    tick(controller)
    assert len(decisions(backend)) == history
    assert decode_decision(backend.records.get(LAST_DECISION)).visible == 8


def test_it_concludes_dead_letters_and_removes_queues_nobody_reads(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    backend.responses.create("long-gone")
    clock.advance(90_000.0)
    backend.responses.create("submit-1")
    backend.dead_letters.send([OutboundMessage("corrupt")])
    send_dead_letter(backend)
    tick(controller)
    assert backend.responses.requesters() == ["submit-1"]
    assert stored(backend, 0).status == "failed"


def send_dead_letter(backend: FlakyBackend) -> None:
    """Make the queue give up a request: it is received more often than allowed."""
    send(backend, [request(0)])
    for _ in range(20):
        (message,) = receive(backend)
        backend.requests.release([message.receipt])
    assert backend.requests.receive(1, lease_s=1.0) == []


def test_cleanup_has_its_own_interval(
    controller: Controller, backend: FlakyBackend, clock: Clock
) -> None:
    tick(controller)
    send_dead_letter(backend)
    clock.advance(29.0)
    tick(controller)
    assert count_outcomes(backend) == 0
    clock.advance(2.0)
    tick(controller)
    assert count_outcomes(backend) == 1


def test_it_runs_until_stopped_and_releases_the_lease(backend: FlakyBackend, clock: Clock) -> None:
    controller = made(backend, clock, config=ControllerConfig(poll_interval_s=0.01))
    stop = threading.Event()
    thread = threading.Thread(target=controller.run, args=(stop,))
    thread.start()
    try:
        wait_until(backend.lease.holder, "the lease")
        send(backend, [request(0)])
        wait_until(lambda: ids(backend), "a launch")
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert backend.lease.holder() == ""


def test_until_idle_it_exits_once_no_image_and_no_worker_is_left(
    backend: FlakyBackend, clock: Clock
) -> None:
    controller = made(backend, clock, config=ControllerConfig(poll_interval_s=0.01))
    send(backend, [request(0)])
    thread = threading.Thread(
        target=controller.run, args=(threading.Event(),), kwargs={"until_idle": True}
    )
    thread.start()
    wait_until(lambda: ids(backend), "a launch")
    (message,) = receive(backend)
    backend.requests.delete([message.receipt])
    says(backend, clock, ids(backend)[0], "gone", done=1)
    thread.join(0.1)
    assert thread.is_alive()
    leaves(backend, clock, ids(backend)[0], "gone", done=1)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_until_idle_it_gives_up_on_failing_workers(backend: FlakyBackend, clock: Clock) -> None:
    controller = made(backend, clock, config=ControllerConfig(poll_interval_s=0.01))
    send(backend, [request(0)])

    def broken(number: int) -> bool:
        decision = decode_decision(backend.records.get(LAST_DECISION))
        return decision.broken_in_a_row == number

    stop = threading.Event()
    thread = threading.Thread(target=controller.run, args=(stop,), kwargs={"until_idle": True})
    thread.start()
    try:
        for number in range(1, MAX_BROKEN_WORKERS + 1):
            wait_until(lambda: ids(backend), "a launch")
            leaves(backend, clock, ids(backend)[0], "broken", reason="no onnxruntime")
            wait_until(partial(broken, number), "its end is seen")
            clock.advance(61.0)
    except AssertionError:
        stop.set()
        raise
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert backend.requests.depth().visible == 1


def test_until_idle_with_nothing_to_do_it_exits_at_once(
    backend: FlakyBackend, clock: Clock
) -> None:
    made(backend, clock).run(threading.Event(), until_idle=True)
    assert ids(backend) == []


def test_a_failing_backend_is_polled_again(
    backend: FlakyBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = backend.fleet.instances
    failures = iter([True, True])

    def instances() -> list[Instance]:
        if next(failures, False):
            raise BackendUnavailableError("away")
        return there()

    monkeypatch.setattr(backend.fleet, "instances", instances)
    made(backend, clock, config=ControllerConfig(poll_interval_s=0.01)).run(
        threading.Event(), until_idle=True
    )
    assert next(failures, None) is None


class Refusing:
    """Makes a fleet refuse launches for lack of permission, until it is allowed."""

    def __init__(self, backend: FlakyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allowed = False
        self.asked: list[int] = []
        self._fleet = backend.fleet
        self._launch = backend.fleet.launch
        self._instances = backend.fleet.instances
        self._patch = monkeypatch

    def launches(self) -> "Refusing":
        self._patch.setattr(self._fleet, "launch", self.launch)
        return self

    def polls(self) -> "Refusing":
        self._patch.setattr(self._fleet, "instances", self.instances)
        return self

    def launch(self, count: int) -> Launch:
        if count:
            self.asked.append(count)
            self._check()
        return self._launch(count)

    def instances(self) -> list[Instance]:
        self._check()
        return self._instances()

    def _check(self) -> None:
        if not self.allowed:
            raise PermissionDeniedError("ec2: is not allowed")


def test_a_launch_without_permission_is_in_the_reason_and_backs_off_exponentially(
    backend: FlakyBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = Refusing(backend, monkeypatch).launches()
    controller = made(backend, clock)
    send(backend, [request(0)])
    for asked, pause_s in enumerate([2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0], start=1):
        decision = tick(controller)
        assert (decision.wanted, decision.launched, len(refusing.asked)) == (1, 0, asked)
        assert "ec2: is not allowed" in decision.reason
        assert isinstance(controller.configuration_error, PermissionDeniedError)
        clock.advance(pause_s - 0.1)
        assert "ec2: is not allowed" in tick(controller).reason
        assert len(refusing.asked) == asked
        clock.advance(0.2)
    refusing.allowed = True
    assert tick(controller).launched == 1
    assert controller.configuration_error is None


def test_a_refused_launch_is_no_error_while_a_worker_runs(
    backend: FlakyBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = made(backend, clock)
    send(backend, [request(0)])
    tick(controller)
    Refusing(backend, monkeypatch).launches()
    send(backend, [request(1)])
    assert "ec2: is not allowed" in tick(controller).reason
    assert controller.configuration_error is None


def test_a_setting_that_is_wrong_from_the_first_poll_is_an_error(
    backend: FlakyBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    Refusing(backend, monkeypatch).polls()
    with pytest.raises(PermissionDeniedError):
        made(backend, clock, config=ControllerConfig(poll_interval_s=0.01)).run(threading.Event())
    assert backend.lease.holder() == ""


def test_a_setting_that_becomes_wrong_is_in_the_last_decision_and_it_goes_on(
    backend: FlakyBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = Refusing(backend, monkeypatch)
    refusing.allowed = True
    refusing.polls()
    stop = threading.Event()
    controller = made(backend, clock, config=ControllerConfig(poll_interval_s=0.01, recount_s=0.0))
    thread = threading.Thread(target=controller.run, args=(stop,))
    thread.start()

    def reason() -> str:
        return decode_decision(backend.records.get(LAST_DECISION)).reason

    try:
        wait_until(lambda: decisions(backend), "a decision")
        refusing.allowed = False
        wait_until(lambda: "ec2: is not allowed" in reason(), "the reason")
        refusing.allowed = True
        send(backend, [request(0)])
        wait_until(lambda: ids(backend), "a launch")
        wait_until(lambda: "1 image waits" in reason(), "a new decision")
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_when_idle_it_polls_less_often_and_watches_only_the_queue(
    backend: FlakyBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls: list[int] = []
    peeks: list[int] = []
    instances, depth = backend.fleet.instances, backend.requests.depth

    def list_instances() -> list[Instance]:
        polls.append(1)
        return instances()

    def peek() -> QueueDepth:
        peeks.append(1)
        return depth()

    monkeypatch.setattr(backend.fleet, "instances", list_instances)
    monkeypatch.setattr(backend.requests, "depth", peek)
    controller = made(backend, clock, config=ControllerConfig(poll_interval_s=0.01, idle_s=60.0))
    stop = threading.Event()
    thread = threading.Thread(target=controller.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: len(peeks) > 10, "polls of the queue")
        assert len(polls) == 1
        send(backend, [request(0)])
        wait_until(lambda: ids(backend), "a launch within a tick")
        wait_until(lambda: len(polls) > 5, "polls at the usual interval")
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
