"""The contract of `iraas.core.ports.Queue`."""

import threading
from collections.abc import Callable

import pytest

from iraas.core.ports import (
    MAX_BATCH,
    Backend,
    OutboundMessage,
    Queue,
    QueueDepth,
    ReceivedMessage,
)
from iraas.errors import MessageTooLargeError
from tests.waiting import join

LEASE_S = 30.0
SHORT_S = 10.0
"""A lease or delay that ends within a test, but not by a stall of a busy machine."""
PAST_SHORT_S = SHORT_S + 1.0
Check = Callable[[str], None]
PassTime = Callable[[float], None]
Eventually = Callable[[Callable[[], bool]], None]


def send(queue: Queue, *bodies: str, group: str = "") -> None:
    queue.send([OutboundMessage(body, group) for body in bodies])


def receive_one(queue: Queue, lease_s: float = LEASE_S) -> ReceivedMessage:
    (message,) = queue.receive(1, lease_s=lease_s, wait_s=1.0)
    return message


def receive_all(queue: Queue, lease_s: float = LEASE_S) -> list[ReceivedMessage]:
    received: list[ReceivedMessage] = []
    while batch := queue.receive(MAX_BATCH, lease_s=lease_s):
        received += batch
    return received


@pytest.mark.parametrize("body", ["hello", "grüße, 图像 🦝", '{"a": "\\u0000"}', " spaces \n\t"])
def test_a_body_arrives_as_it_was_sent(queue: Queue, body: str) -> None:
    send(queue, body)
    assert receive_one(queue).body == body


def test_a_note_is_delivered_with_its_message(queue: Queue) -> None:
    queue.send([OutboundMessage("a", note="n" * 1024), OutboundMessage("b")])
    notes = {message.body: message.note for message in receive_all(queue)}
    assert notes == {"a": "n" * 1024, "b": ""}


def test_any_number_of_messages_may_be_sent_at_once(queue: Queue) -> None:
    bodies = [f"m{n}" for n in range(25)]
    send(queue, *bodies)
    assert sorted(message.body for message in receive_all(queue)) == sorted(bodies)


def test_empty_batches_are_allowed(queue: Queue) -> None:
    queue.send([])
    queue.delete([])
    queue.extend([], LEASE_S)
    queue.release([])
    assert queue.receive(1, lease_s=LEASE_S) == []


def test_no_more_are_received_than_were_asked_for(queue: Queue) -> None:
    send(queue, *(f"m{n}" for n in range(6)))
    assert 1 <= len(queue.receive(4, lease_s=LEASE_S)) <= 4


@pytest.mark.parametrize("count", [0, -1, MAX_BATCH + 1])
def test_a_batch_has_bounds(queue: Queue, count: int) -> None:
    with pytest.raises(ValueError, match="max_messages"):
        queue.receive(count, lease_s=LEASE_S)


def test_a_message_is_hidden_while_its_lease_lasts(queue: Queue) -> None:
    send(queue, "a")
    receive_one(queue)
    assert queue.receive(1, lease_s=LEASE_S) == []


def test_a_message_is_visible_again_when_its_lease_ends(queue: Queue, pass_time: PassTime) -> None:
    send(queue, "a")
    first = receive_one(queue, lease_s=SHORT_S)
    pass_time(PAST_SHORT_S)
    second = receive_one(queue)
    assert (first.receive_count, second.receive_count) == (1, 2)
    assert second.body == "a"
    assert second.receipt != first.receipt


def test_a_deleted_message_never_comes_back(queue: Queue, pass_time: PassTime) -> None:
    send(queue, "a")
    queue.delete([receive_one(queue, lease_s=SHORT_S).receipt])
    pass_time(PAST_SHORT_S)
    assert queue.receive(1, lease_s=LEASE_S) == []


def test_delete_is_idempotent(queue: Queue) -> None:
    send(queue, "a", "b")
    first = receive_one(queue)
    queue.delete([first.receipt, first.receipt])
    queue.delete([first.receipt])
    assert len(receive_all(queue)) == 1


def test_a_receipt_still_deletes_after_its_lease_if_no_other_receiver_has_it(
    queue: Queue, pass_time: PassTime
) -> None:
    send(queue, "a")
    received = receive_one(queue, lease_s=SHORT_S)
    pass_time(PAST_SHORT_S)
    queue.delete([received.receipt])
    assert queue.receive(1, lease_s=LEASE_S) == []


def test_a_stale_receipt_cannot_delete(queue: Queue, pass_time: PassTime, promised: Check) -> None:
    promised("stale receipts")
    send(queue, "a")
    stale = receive_one(queue, lease_s=SHORT_S)
    pass_time(PAST_SHORT_S)
    receive_one(queue, lease_s=SHORT_S)
    queue.delete([stale.receipt])
    pass_time(PAST_SHORT_S)
    assert receive_one(queue).body == "a"


def test_a_stale_receipt_cannot_extend(queue: Queue, pass_time: PassTime, promised: Check) -> None:
    promised("stale receipts")
    send(queue, "a")
    stale = receive_one(queue, lease_s=SHORT_S)
    pass_time(PAST_SHORT_S)
    receive_one(queue, lease_s=SHORT_S)
    queue.extend([stale.receipt], 1000.0)
    pass_time(PAST_SHORT_S)
    assert receive_one(queue).body == "a"


def test_a_stale_receipt_cannot_release(queue: Queue, pass_time: PassTime, promised: Check) -> None:
    promised("stale receipts")
    send(queue, "a")
    stale = receive_one(queue, lease_s=SHORT_S)
    pass_time(PAST_SHORT_S)
    receive_one(queue)
    queue.release([stale.receipt])
    assert queue.receive(1, lease_s=LEASE_S) == []


def test_an_unknown_receipt_does_nothing(queue: Queue, promised: Check) -> None:
    promised("stale receipts")
    send(queue, "a")
    for nonsense in ("", "x", "1-", "-1", "1-2-3", "²-³", "9" * 40 + "-1"):
        queue.delete([nonsense])
        queue.extend([nonsense], LEASE_S)
        queue.release([nonsense])
    assert receive_one(queue).body == "a"


def test_an_extended_lease_lasts(queue: Queue, pass_time: PassTime) -> None:
    send(queue, "a")
    received = receive_one(queue, lease_s=SHORT_S)
    queue.extend([received.receipt], 60.0)
    pass_time(PAST_SHORT_S)
    assert queue.receive(1, lease_s=LEASE_S) == []


def test_extend_counts_from_now(queue: Queue, pass_time: PassTime) -> None:
    send(queue, "a")
    received = receive_one(queue, lease_s=60.0)
    queue.extend([received.receipt], SHORT_S)
    pass_time(PAST_SHORT_S)
    assert receive_one(queue).receive_count == 2


def test_a_released_message_is_visible_at_once(queue: Queue) -> None:
    send(queue, "a")
    queue.release([receive_one(queue).receipt])
    assert receive_one(queue).receive_count == 2


def test_many_receipts_are_deleted_at_once(queue: Queue, pass_time: PassTime) -> None:
    send(queue, *(f"m{n}" for n in range(25)))
    queue.delete([message.receipt for message in receive_all(queue, lease_s=SHORT_S)])
    pass_time(PAST_SHORT_S)
    assert queue.receive(1, lease_s=LEASE_S) == []


def test_many_receipts_are_extended_and_released_at_once(queue: Queue, pass_time: PassTime) -> None:
    send(queue, *(f"m{n}" for n in range(25)))
    receipts = [message.receipt for message in receive_all(queue, lease_s=SHORT_S)]
    queue.extend(receipts, 60.0)
    pass_time(PAST_SHORT_S)
    assert queue.receive(1, lease_s=LEASE_S) == []
    queue.release(receipts)
    assert len(receive_all(queue)) == 25


def test_a_delayed_message_waits_and_others_do_not(queue: Queue, pass_time: PassTime) -> None:
    queue.send([OutboundMessage("later", delay_s=SHORT_S), OutboundMessage("now")])
    assert [message.body for message in receive_all(queue)] == ["now"]
    pass_time(PAST_SHORT_S)
    assert receive_one(queue).body == "later"


@pytest.mark.parametrize("delay_s", [-1.0, 901.0, float("nan")])
def test_a_delay_has_bounds(queue: Queue, delay_s: float) -> None:
    with pytest.raises(ValueError, match="delay_s"):
        queue.send([OutboundMessage("a", delay_s=delay_s)])


@pytest.mark.parametrize("character", ["x", "é"])
def test_the_longest_body_arrives_whole(queue: Queue, character: str) -> None:
    body = character * (queue.max_body_bytes // len(character.encode()))
    send(queue, body)
    assert receive_one(queue).body == body


@pytest.mark.parametrize("character", ["x", "é"])
def test_of_a_batch_with_a_body_too_long_nothing_is_sent(queue: Queue, character: str) -> None:
    too_long = character * (queue.max_body_bytes // len(character.encode()) + 1)
    with pytest.raises(MessageTooLargeError):
        send(queue, "a", too_long)
    assert queue.receive(1, lease_s=LEASE_S) == []


def test_a_message_delivered_too_often_becomes_a_dead_letter(
    queue: Queue,
    dead_letters: Queue,
    pass_time: PassTime,
    eventually: Eventually,
    promised: Check,
) -> None:
    promised("dead letters")
    send(queue, "poison")
    for count in range(1, 4):
        assert receive_one(queue, lease_s=SHORT_S).receive_count == count
        assert dead_letters.depth().total == 0
        pass_time(PAST_SHORT_S)
    assert queue.receive(1, lease_s=LEASE_S) == []
    eventually(lambda: dead_letters.depth().visible == 1)
    assert receive_one(dead_letters).body == "poison"
    assert queue.depth().total == 0


def test_a_poison_message_does_not_block_the_others(
    queue: Queue, pass_time: PassTime, promised: Check
) -> None:
    promised("dead letters")
    send(queue, "poison")
    for _ in range(3):
        receive_one(queue, lease_s=SHORT_S)
        pass_time(PAST_SHORT_S)
    send(queue, "good")
    assert receive_one(queue).body == "good"


def test_depth_counts_each_message_once(
    queue: Queue, eventually: Eventually, pass_time: PassTime
) -> None:
    send(queue, "a", "b", "c")
    queue.send([OutboundMessage("later", delay_s=100.0)])
    receipt = receive_one(queue).receipt
    eventually(lambda: queue.depth() == QueueDepth(visible=2, in_flight=1, delayed=1))
    queue.delete([receipt])
    eventually(lambda: queue.depth() == QueueDepth(visible=2, in_flight=0, delayed=1))
    assert queue.depth().total == 3


def test_depth_counts_ended_leases_and_delays_as_visible(
    queue: Queue, eventually: Eventually, pass_time: PassTime
) -> None:
    queue.send([OutboundMessage("a"), OutboundMessage("b", delay_s=SHORT_S)])
    receive_one(queue, lease_s=SHORT_S)
    pass_time(PAST_SHORT_S)
    eventually(lambda: queue.depth() == QueueDepth(visible=2, in_flight=0, delayed=0))


def test_an_empty_queue_answers_when_the_wait_is_over(queue: Queue) -> None:
    assert queue.receive(1, lease_s=LEASE_S, wait_s=0.1) == []


def test_a_waiting_receiver_is_woken_by_a_send(queue: Queue) -> None:
    received: list[ReceivedMessage] = []
    waiter = threading.Thread(
        target=lambda: received.extend(queue.receive(1, lease_s=LEASE_S, wait_s=20.0))
    )
    waiter.start()
    send(queue, "a")
    join(waiter)
    assert [message.body for message in received] == ["a"]


def test_a_waiting_receiver_is_woken_by_the_end_of_a_lease(
    queue: Queue, pass_time: PassTime
) -> None:
    send(queue, "a")
    receive_one(queue, lease_s=SHORT_S)
    received: list[ReceivedMessage] = []
    waiter = threading.Thread(
        target=lambda: received.extend(queue.receive(1, lease_s=LEASE_S, wait_s=20.0))
    )
    waiter.start()
    pass_time(PAST_SHORT_S)
    join(waiter)
    assert [message.receive_count for message in received] == [2]


def test_a_small_group_does_not_wait_behind_a_large_one(queue: Queue, promised: Check) -> None:
    promised("fair groups")
    send(queue, *(f"large {n}" for n in range(300)), group="large")
    queue.delete([message.receipt for message in queue.receive(10, lease_s=LEASE_S)])
    send(queue, "small", group="small")
    served = [receive_one(queue).body for _ in range(5)]
    assert "small" in served


def test_two_backends_of_a_deployment_share_its_queue(queue: Queue, rival: Backend) -> None:
    other = rival.requests
    send(queue, "a")
    received = receive_one(other)
    assert queue.receive(1, lease_s=LEASE_S) == []
    other.delete([received.receipt])
    assert queue.depth().in_flight == 0


def test_threads_receive_each_message_and_lose_none(queue: Queue) -> None:
    bodies = {f"m{n}" for n in range(60)}
    send(queue, *bodies)
    seen: list[str] = []

    def work() -> None:
        while batch := queue.receive(4, lease_s=LEASE_S):
            seen.extend(message.body for message in batch)
            queue.delete([message.receipt for message in batch])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    join(*threads)
    seen.extend(message.body for message in receive_all(queue))
    assert sorted(seen) == sorted(bodies)
