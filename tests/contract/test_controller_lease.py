"""The contract of `iraas.core.ports.ControllerLease`."""

from iraas.core.ports import Backend, ControllerLease


def test_a_fresh_lease_is_free(lease: ControllerLease) -> None:
    assert lease.holder() == ""


def test_only_one_holder_at_a_time_has_the_lease(lease: ControllerLease, rival: Backend) -> None:
    assert lease.hold()
    assert not rival.lease.hold()
    assert lease.hold()
    assert lease.holder() != ""
    assert rival.lease.holder() == lease.holder()


def test_a_released_lease_can_be_acquired_by_another(
    lease: ControllerLease, rival: Backend
) -> None:
    assert lease.hold()
    lease.release()
    assert lease.holder() == ""
    assert rival.lease.hold()
    assert not lease.hold()


def test_release_is_idempotent_and_takes_nothing_from_others(
    lease: ControllerLease, rival: Backend
) -> None:
    lease.release()
    assert rival.lease.hold()
    lease.release()
    assert not lease.hold()
    assert rival.lease.hold()
