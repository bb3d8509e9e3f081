"""The contract of `iraas.core.ports.ResponseQueues`."""

from collections.abc import Callable

import pytest

from iraas.core.ports import Backend, OutboundMessage, Queue, ResponseQueues
from iraas.errors import QueueNotFoundError

PassTime = Callable[[float], None]


def bodies(queue: Queue) -> list[str]:
    return [message.body for message in queue.receive(10, lease_s=30.0, wait_s=1.0)]


def test_a_reply_reaches_its_requester(responses: ResponseQueues, rival: Backend) -> None:
    mine = responses.create("me")
    rival.responses.find("me").send([OutboundMessage("hello")])
    assert bodies(mine) == ["hello"]


def test_requesters_do_not_receive_each_others_replies(responses: ResponseQueues) -> None:
    mine, yours = responses.create("me"), responses.create("you")
    responses.find("you").send([OutboundMessage("for you")])
    assert mine.receive(1, lease_s=30.0) == []
    assert bodies(yours) == ["for you"]


def test_create_finds_the_queue_that_is_there(responses: ResponseQueues) -> None:
    responses.create("me").send([OutboundMessage("kept")])
    assert bodies(responses.create("me")) == ["kept"]


def test_find_never_makes_a_queue(responses: ResponseQueues) -> None:
    missing = responses.find("nobody")
    calls: list[Callable[[], object]] = [
        lambda: missing.send([OutboundMessage("x")]),
        lambda: missing.receive(1, lease_s=1.0),
        missing.depth,
    ]
    for call in calls + calls:
        with pytest.raises(QueueNotFoundError):
            call()


def test_a_queue_opened_before_it_exists_works_once_it_does(responses: ResponseQueues) -> None:
    found = responses.find("me")
    mine = responses.create("me")
    found.send([OutboundMessage("x")])
    assert bodies(mine) == ["x"]


def test_a_deleted_queue_is_gone_for_open_handles(responses: ResponseQueues) -> None:
    mine = responses.create("me")
    found = responses.find("me")
    found.send([OutboundMessage("x")])
    responses.delete("me")
    with pytest.raises(QueueNotFoundError):
        found.send([OutboundMessage("x")])
    with pytest.raises(QueueNotFoundError):
        mine.receive(1, lease_s=1.0)


def test_delete_is_idempotent(responses: ResponseQueues) -> None:
    responses.delete("me")
    queue = responses.create("me")
    responses.delete("me")
    responses.delete("me")
    with pytest.raises(QueueNotFoundError):
        queue.depth()


def test_sweep_removes_abandoned_queues(responses: ResponseQueues, pass_time: PassTime) -> None:
    responses.create("gone")
    pass_time(2.0)
    assert responses.sweep(1.0) == ["gone"]
    with pytest.raises(QueueNotFoundError):
        responses.find("gone").depth()
    assert responses.sweep(1.0) == []


def test_sweep_spares_a_requester_who_receives(
    responses: ResponseQueues, pass_time: PassTime
) -> None:
    mine = responses.create("me")
    responses.create("gone")
    pass_time(100.0)
    mine.receive(1, lease_s=1.0)
    assert responses.sweep(50.0) == ["gone"]
    assert mine.depth().total == 0


def test_sweep_spares_a_fresh_queue(responses: ResponseQueues) -> None:
    responses.create("me")
    assert responses.sweep(50.0) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "a.b", "-a", "a" * 65, "a\n"])
def test_a_requester_has_a_plain_name(responses: ResponseQueues, name: str) -> None:
    for call in (responses.create, responses.find, responses.delete):
        with pytest.raises(ValueError, match="not a requester"):
            call(name)
