"""The contract of `iraas.core.ports.Provisioning` and `Backend`."""

from collections.abc import Callable

from iraas.core.ports import Backend, OutboundMessage, Provisioning

Eventually = Callable[[Callable[[], bool]], None]


def names(provisioning: Provisioning, *, there: bool) -> set[str]:
    return {one.name for one in provisioning.plan() if one.exists is there}


def fill(backend: Backend) -> None:
    backend.requests.send([OutboundMessage("a")])
    backend.dead_letters.send([OutboundMessage("b")])
    backend.responses.create("me")
    for store in (backend.inputs, backend.outputs, backend.records):
        store.put("a/b", b"x")


def test_provisioned_resources_exist(provisioning: Provisioning) -> None:
    provisioning.provision()
    assert names(provisioning, there=True)
    assert names(provisioning, there=False) == set()


def test_provision_is_idempotent_and_keeps_existing_data(
    provisioning: Provisioning, backend: Backend
) -> None:
    provisioning.provision()
    fill(backend)
    provisioning.provision()
    assert backend.requests.depth().total == 1
    assert backend.outputs.get("a/b") == b"x"


def test_teardown_leaves_nothing(
    provisioning: Provisioning, backend: Backend, eventually: Eventually
) -> None:
    provisioning.provision()
    fill(backend)
    backend.fleet.launch(2)
    provisioning.teardown()
    eventually(lambda: names(provisioning, there=True) == set())
    assert backend.fleet.instances() == []


def test_teardown_may_keep_the_data(provisioning: Provisioning, backend: Backend) -> None:
    provisioning.provision()
    fill(backend)
    provisioning.teardown(keep_data=True)
    for store in (backend.inputs, backend.outputs, backend.records):
        assert store.get("a/b") == b"x"


def test_teardown_is_idempotent(provisioning: Provisioning) -> None:
    provisioning.provision()
    provisioning.teardown()
    provisioning.teardown()
    assert names(provisioning, there=True) == set()


def test_a_deployment_may_be_provisioned_again(
    provisioning: Provisioning, backend: Backend
) -> None:
    provisioning.provision()
    fill(backend)
    provisioning.teardown()
    provisioning.provision()
    assert names(provisioning, there=False) == set()
    assert backend.requests.depth().total == 0
    assert list(backend.outputs.list()) == []


def test_closing_is_idempotent_and_loses_nothing(backend: Backend, rival: Backend) -> None:
    fill(backend)
    backend.close()
    backend.close()
    assert rival.requests.depth().total == 1
    assert rival.outputs.get("a/b") == b"x"
