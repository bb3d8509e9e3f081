"""The contract of `iraas.core.ports.Fleet`."""

import threading
from collections.abc import Callable

from iraas.core.ids import is_plain_name
from iraas.core.ports import Backend, Fleet, Instance, InstanceState, Launch
from tests.waiting import join

Check = Callable[[str], None]
Eventually = Callable[[Callable[[], bool]], None]

CAPACITY = 3


def alive(fleet: Fleet) -> set[str]:
    return {one.instance_id for one in fleet.instances() if one.state is not InstanceState.STOPPING}


def test_a_fresh_fleet_is_empty(fleet: Fleet) -> None:
    assert fleet.capacity == CAPACITY
    assert fleet.instances() == []
    assert fleet.non_worker_instances() == []


def test_launched_instances_are_listed_at_once(fleet: Fleet) -> None:
    launch = fleet.launch(2)
    assert launch.shortfall == ""
    assert len(set(launch.launched)) == 2
    assert alive(fleet) == set(launch.launched)


def test_an_instance_describes_itself(fleet: Fleet) -> None:
    fleet.launch(1)
    (instance,) = fleet.instances()
    assert isinstance(instance, Instance)
    assert is_plain_name(instance.instance_id)
    assert instance.state in {InstanceState.BOOTING, InstanceState.RUNNING}
    assert instance.launched_at > 1_600_000_000
    assert instance.instance_type
    assert instance.pricing in {"on-demand", "spot", "free"}


def test_no_more_are_launched_than_there_are_slots(fleet: Fleet) -> None:
    launch = fleet.launch(CAPACITY + 2)
    assert len(launch.launched) == CAPACITY
    assert launch.shortfall
    more = fleet.launch(1)
    assert more.launched == ()
    assert more.shortfall
    assert len(fleet.instances()) == CAPACITY


def test_launching_none_does_nothing(fleet: Fleet) -> None:
    assert fleet.launch(0) == Launch(())
    assert fleet.instances() == []


def test_every_backend_of_a_deployment_lists_the_same_instances(
    fleet: Fleet, rival: Backend
) -> None:
    launch = fleet.launch(2)
    assert alive(rival.fleet) == set(launch.launched)
    assert len(rival.fleet.launch(CAPACITY).launched) == CAPACITY - 2


def test_a_terminated_instance_ends_and_its_slot_is_free(
    fleet: Fleet, eventually: Eventually
) -> None:
    launch = fleet.launch(CAPACITY)
    fleet.terminate(launch.launched[:1])
    eventually(lambda: alive(fleet) == set(launch.launched[1:]))
    eventually(lambda: len(fleet.launch(1).launched) == 1)


def test_one_backend_may_terminate_instances_of_another(
    fleet: Fleet, rival: Backend, eventually: Eventually
) -> None:
    launch = fleet.launch(2)
    rival.fleet.terminate(launch.launched)
    eventually(lambda: alive(fleet) == set())


def test_terminate_is_idempotent(fleet: Fleet, eventually: Eventually) -> None:
    launch = fleet.launch(1)
    fleet.terminate(launch.launched)
    fleet.terminate(launch.launched)
    eventually(lambda: alive(fleet) == set())
    fleet.terminate(launch.launched)
    fleet.terminate([])
    assert alive(fleet) == set()


def test_terminating_an_unknown_instance_is_no_error(fleet: Fleet) -> None:
    launch = fleet.launch(1)
    fleet.terminate(["w-00000000", "i-0123456789abcdef0"])
    assert alive(fleet) == set(launch.launched)


def test_an_instance_that_ends_by_itself_frees_its_slot(
    fleet: Fleet, lose_instance: Callable[[str], None], eventually: Eventually
) -> None:
    launch = fleet.launch(CAPACITY)
    lose_instance(launch.launched[0])
    eventually(lambda: alive(fleet) == set(launch.launched[1:]))
    eventually(lambda: len(fleet.launch(1).launched) == 1)


def test_launches_at_the_same_moment_fill_each_slot_once(
    fleet: Fleet, rival: Backend, promised: Check
) -> None:
    promised("one launch wins")
    launched: list[str] = []
    start = threading.Barrier(4)

    def launch(own: Fleet) -> None:
        start.wait()
        launched.extend(own.launch(2).launched)

    fleets = [fleet, rival.fleet, fleet, rival.fleet]
    threads = [threading.Thread(target=launch, args=(own,)) for own in fleets]
    for thread in threads:
        thread.start()
    join(*threads)
    assert len(launched) == CAPACITY
    assert alive(fleet) == set(launched)
