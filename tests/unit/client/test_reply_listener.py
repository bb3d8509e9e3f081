"""Replies to many requests from one response queue."""

import itertools
from collections.abc import Iterator

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.client.reply_listener import ReplyListener, ReplyListenerConfig
from iraas.core.keys import outcome_key
from iraas.core.messages import encode_reply
from iraas.core.outcomes import Outcome
from iraas.core.ports import OutboundMessage
from tests.fakes.sample_requests import JOB, outcome, request
from tests.waiting import wait_until

CONFIG = ReplyListenerConfig(wait_s=0.05, batch_window_s=0.0, store_poll_s=0.1, idle_s=0.1)


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def listener(backend: MemoryBackend) -> Iterator[ReplyListener]:
    numbers = itertools.count()
    listener = ReplyListener(backend, new_id=lambda: f"web-{next(numbers)}", config=CONFIG)
    listener.start()
    yield listener
    listener.stop()


def reply(backend: MemoryBackend, to: str, received: Outcome) -> None:
    backend.responses.find(to).send([OutboundMessage(encode_reply(received))])


def test_each_reply_calls_exactly_its_own_callback(
    listener: ReplyListener, backend: MemoryBackend
) -> None:
    received: dict[int, list[Outcome]] = {number: [] for number in range(3)}
    for number, found in received.items():
        listener.register(request(number).request_id, found.append)
    for number in (2, 0):
        reply(backend, listener.requester_id, outcome(request(number)))
    wait_until(lambda: received[0] and received[2])
    assert [len(found) for found in received.values()] == [1, 0, 1]
    assert received[0][0].request_id == request(0).request_id


def test_a_second_reply_calls_no_callback(listener: ReplyListener, backend: MemoryBackend) -> None:
    received: list[Outcome] = []
    listener.register(request(0).request_id, received.append)
    for _ in range(3):
        reply(backend, listener.requester_id, outcome(request(0)))
    queue = backend.responses.find(listener.requester_id)
    wait_until(lambda: received and queue.depth().total == 0)
    assert len(received) == 1


def test_a_jobs_listener_gets_all_its_outcomes_until_it_is_removed(
    listener: ReplyListener, backend: MemoryBackend
) -> None:
    one: list[Outcome] = []
    other: list[Outcome] = []
    end = listener.listen(JOB, one.append)
    listener.listen(JOB, other.append)
    reply(backend, listener.requester_id, outcome(request(0)))
    wait_until(lambda: one and other)
    end()
    reply(backend, listener.requester_id, outcome(request(1)))
    wait_until(lambda: len(other) == 2)
    assert len(one) == 1


def test_a_lost_reply_is_recovered_from_the_store(
    listener: ReplyListener, backend: MemoryBackend
) -> None:
    received: list[Outcome] = []
    listener.register(request(0).request_id, received.append)
    stored = outcome(request(0))
    backend.outputs.put(outcome_key(stored.request_id), stored.encode())
    wait_until(lambda: received)
    assert received == [stored]


def test_a_lost_queue_is_replaced_by_one_of_another_name(
    listener: ReplyListener, backend: MemoryBackend
) -> None:
    received: list[Outcome] = []
    first = listener.requester_id
    listener.register(request(0).request_id, received.append)
    backend.responses.delete(first)
    wait_until(lambda: listener.requester_id != first and listener.is_listening)
    reply(backend, listener.requester_id, outcome(request(0)))
    wait_until(lambda: received)


def test_a_corrupt_reply_does_not_affect_others(
    listener: ReplyListener, backend: MemoryBackend
) -> None:
    received: list[Outcome] = []
    listener.register(request(0).request_id, received.append)
    backend.responses.find(listener.requester_id).send([OutboundMessage("garbage")])
    reply(backend, listener.requester_id, outcome(request(0)))
    wait_until(lambda: received)


def test_an_unregistered_request_calls_no_callback(
    listener: ReplyListener, backend: MemoryBackend
) -> None:
    received: list[Outcome] = []
    listener.register(request(0).request_id, received.append)
    listener.register(request(1).request_id, received.append)
    listener.unregister(request(0).request_id)
    for number in (0, 1):
        reply(backend, listener.requester_id, outcome(request(number)))
    wait_until(lambda: received)
    assert [one.request_id for one in received] == [request(1).request_id]


def test_it_leaves_no_queue_behind(backend: MemoryBackend) -> None:
    listener = ReplyListener(backend, new_id=lambda: "web-x", config=CONFIG)
    listener.start()
    assert backend.responses.requesters() == ["web-x"]
    listener.stop()
    assert backend.responses.requesters() == []


def test_a_stop_does_not_wait_for_replies(backend: MemoryBackend) -> None:
    """Its thread waits for them longer than a stop waits for its thread."""
    listener = ReplyListener(
        backend, new_id=lambda: "web-x", config=ReplyListenerConfig(wait_s=20.0)
    )
    listener.start()
    listener.register(request(0).request_id, lambda _: None)
    held = backend.responses._held["web-x"]
    held.received_at = 0.0
    wait_until(lambda: held.received_at, "it receives")
    listener.stop()
    assert not listener._thread.is_alive()
    assert backend.responses.requesters() == []
