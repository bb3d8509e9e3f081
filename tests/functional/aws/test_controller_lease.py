"""`S3ControllerLease` against an emulator, with clocks that tests advance."""

import json
from typing import Any

import pytest

from iraas.backends.aws.names import RECORDS_PREFIX
from iraas.backends.aws.storage.controller_lease import LEASE_KEY, S3ControllerLease
from iraas.errors import BackendUnavailableError, NotProvisionedError
from tests.fakes.clock import Clock
from tests.functional.aws.deployments import Deployment
from tests.functional.aws.faults import FaultProxy, answer, lose_reply, refuse

TTL_S, MARGIN_S = 60.0, 5.0


def lease(deployment: Deployment, holder: str, clock: Clock) -> S3ControllerLease:
    return S3ControllerLease(
        deployment.session,
        deployment.outputs_bucket,
        RECORDS_PREFIX,
        holder,
        ttl_s=TTL_S,
        margin_s=MARGIN_S,
        clock=clock,
    )


def test_one_of_two_holds_the_lease_and_both_know_which(deployment: Deployment) -> None:
    clock = Clock()
    first, second = lease(deployment, "first", clock), lease(deployment, "second", clock)
    assert first.holder() == ""
    assert (first.hold(), second.hold(), first.hold()) == (True, False, True)
    assert (first.holder(), second.holder()) == ("first", "first")


def test_a_released_lease_is_free_at_once(deployment: Deployment) -> None:
    clock = Clock()
    first, second = lease(deployment, "first", clock), lease(deployment, "second", clock)
    first.hold()
    first.release()
    first.release()
    assert second.holder() == ""
    assert second.hold()
    assert not first.hold()


def test_an_abandoned_lease_is_free_after_its_time_and_the_margin(deployment: Deployment) -> None:
    clock = Clock()
    first, second = lease(deployment, "first", clock), lease(deployment, "second", clock)
    first.hold()
    clock.now += TTL_S + MARGIN_S - 1
    assert not second.hold()
    clock.now += 2
    assert second.holder() == ""
    assert second.hold()
    assert not first.hold()


def test_renewing_keeps_the_lease_indefinitely(deployment: Deployment) -> None:
    clock = Clock()
    first, second = lease(deployment, "first", clock), lease(deployment, "second", clock)
    for _ in range(10):
        assert first.hold()
        assert not second.hold()
        clock.now += TTL_S / 2


def test_the_holder_calls_once_in_a_third_of_its_time(shaky: Deployment, proxy: FaultProxy) -> None:
    clock = Clock()
    held = lease(shaky, "first", clock)
    for _ in range(60):
        assert held.hold()
        clock.now += 1
    assert proxy.seen.count("PutObject") == 3
    assert proxy.seen.count("GetObject") == 1


def test_clocks_that_differ_by_the_margin_each_way_never_make_two_holders(
    deployment: Deployment,
) -> None:
    slow, fast = Clock(1_800_000_000 - MARGIN_S), Clock(1_800_000_000 + MARGIN_S)
    first, second = lease(deployment, "first", slow), lease(deployment, "second", fast)
    assert first.hold()
    for _ in range(200):
        slow.now += 1
        fast.now += 1
        if second.hold():
            break
    held_s = slow.now - (1_800_000_000 - MARGIN_S)
    assert held_s >= TTL_S - MARGIN_S
    assert not first.hold()


def test_a_holder_that_was_paused_past_its_lease_finds_that_it_lost(
    deployment: Deployment,
) -> None:
    clock = Clock()
    first, second = lease(deployment, "first", clock), lease(deployment, "second", clock)
    first.hold()
    clock.now += 1000
    assert second.hold()
    assert not first.hold()
    first.release()
    assert second.hold()
    assert first.holder() == "second"


def test_two_holders_of_one_name_are_distinct(deployment: Deployment) -> None:
    clock = Clock()
    first, second = lease(deployment, "same", clock), lease(deployment, "same", clock)
    assert (first.hold(), second.hold()) == (True, False)


@pytest.mark.parametrize("fault", [lose_reply, refuse, answer(500, "InternalError")])
def test_taking_and_renewing_survive_a_fault(
    shaky: Deployment, proxy: FaultProxy, fault: Any
) -> None:
    clock = Clock()
    held, other = lease(shaky, "first", clock), lease(shaky, "second", clock)
    proxy.plan("PutObject", fault)
    assert held.hold()
    clock.now += TTL_S / 2
    proxy.plan("PutObject", fault)
    assert held.hold()
    clock.now += TTL_S / 4
    assert held.hold()
    assert not other.hold()


def test_the_holder_keeps_the_remaining_time_while_the_store_is_down(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    clock = Clock()
    held = lease(shaky, "first", clock)
    held.hold()
    proxy.plan_all(lambda _: answer(503, "ServiceUnavailable"))
    clock.now += TTL_S / 2
    assert held.hold()
    clock.now += TTL_S / 2 - MARGIN_S
    with pytest.raises(BackendUnavailableError):
        held.hold()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[" * 5000,
        b'{"holder": "x"}',
        b'{"holder": "x", "token": "t", "write": "w", "expires_at": 1e300}',
        b'{"holder": "x", "token": "t", "write": "w", "expires_at": NaN}',
        b'{"holder": "x", "token": "t", "write": "w", "expires_at": []}',
    ],
)
def test_a_corrupt_lease_is_free(deployment: Deployment, content: bytes) -> None:
    deployment.records.put(LEASE_KEY, content)
    held = lease(deployment, "first", Clock())
    assert held.holder() == ""
    assert held.hold()
    assert json.loads(deployment.records.get(LEASE_KEY))["holder"] == "first"


def test_a_manually_removed_lease_object_is_recreated(deployment: Deployment) -> None:
    clock = Clock()
    held = lease(deployment, "first", clock)
    held.hold()
    deployment.records.delete([LEASE_KEY])
    clock.now += TTL_S / 2
    assert held.hold()
    assert held.holder() == "first"


def test_without_a_deployment_the_error_says_how_to_provision(deployment: Deployment) -> None:
    held = S3ControllerLease(deployment.session, lambda: "iraas-no-outputs", RECORDS_PREFIX, "x")
    with pytest.raises(NotProvisionedError):
        held.hold()


@pytest.mark.parametrize(("ttl_s", "margin_s"), [(10, 4), (1000, 5), (60, -1)])
def test_inconsistent_times_are_refused(
    deployment: Deployment, ttl_s: float, margin_s: float
) -> None:
    with pytest.raises(ValueError, match="ttl_s"):
        S3ControllerLease(
            deployment.session, lambda: "b", "r/", "x", ttl_s=ttl_s, margin_s=margin_s
        )
