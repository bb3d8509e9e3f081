"""What `iraas.core.ports.Stack` and `Backend` promise."""

from collections.abc import Callable

from iraas.core.ports import Backend, OutboundMessage, Stack

Eventually = Callable[[Callable[[], bool]], None]


def names(stack: Stack, *, there: bool) -> set[str]:
    return {one.name for one in stack.plan() if one.exists is there}


def fill(backend: Backend) -> None:
    backend.requests.send([OutboundMessage("a")])
    backend.dead_letters.send([OutboundMessage("b")])
    backend.responses.create("me")
    for store in (backend.inputs, backend.outputs, backend.records):
        store.put("a/b", b"x")


def test_what_was_provisioned_is_there(stack: Stack) -> None:
    stack.provision()
    assert names(stack, there=True)
    assert names(stack, there=False) == set()


def test_provision_is_idempotent_and_keeps_what_is_there(stack: Stack, backend: Backend) -> None:
    stack.provision()
    fill(backend)
    stack.provision()
    assert backend.requests.depth().total == 1
    assert backend.outputs.get("a/b") == b"x"


def test_teardown_leaves_nothing(stack: Stack, backend: Backend, eventually: Eventually) -> None:
    stack.provision()
    fill(backend)
    backend.fleet.launch(2)
    stack.teardown()
    eventually(lambda: names(stack, there=True) == set())
    assert backend.fleet.instances() == []


def test_teardown_may_keep_the_data(stack: Stack, backend: Backend) -> None:
    stack.provision()
    fill(backend)
    stack.teardown(keep_data=True)
    for store in (backend.inputs, backend.outputs, backend.records):
        assert store.get("a/b") == b"x"


def test_teardown_is_idempotent(stack: Stack) -> None:
    stack.provision()
    stack.teardown()
    stack.teardown()
    assert names(stack, there=True) == set()


def test_a_deployment_may_be_provisioned_again(stack: Stack, backend: Backend) -> None:
    stack.provision()
    fill(backend)
    stack.teardown()
    stack.provision()
    assert names(stack, there=False) == set()
    assert backend.requests.depth().total == 0
    assert list(backend.outputs.list()) == []


def test_closing_is_idempotent_and_loses_nothing(backend: Backend, rival: Backend) -> None:
    fill(backend)
    backend.close()
    backend.close()
    assert rival.requests.depth().total == 1
    assert rival.outputs.get("a/b") == b"x"
