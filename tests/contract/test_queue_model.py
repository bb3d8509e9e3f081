"""Queues against a model: after any sequence of operations the visible messages are known."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from iraas.backends.local.sqlite_queue import SqliteQueue
from iraas.backends.memory import MemoryQueue
from iraas.core.ports import OutboundMessage, Queue, QueueDepth

MAX_RECEIVES = 3
Clock = Callable[[], float]
QueueMaker = Callable[[Clock], tuple[Queue, Queue]]


@dataclass
class Known:
    """The model's state of a message that is not deleted."""

    number: int
    group: str
    due: float | None
    receive_count: int = 0
    receipt: str = ""


class QueueModel(RuleBasedStateMachine):
    """Drives a queue and a dictionary side by side."""

    make: QueueMaker

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.queue, self.dead_letters = self.make(lambda: self.now)
        self.numbers = itertools.count()
        self.known: dict[str, Known] = {}
        self.receipts: list[str] = []
        self.dead: set[str] = set()

    @rule(
        count=st.integers(1, 12),
        group=st.sampled_from(["", "a", "b"]),
        delay_s=st.sampled_from([0.0, 0.0, 5.0]),
    )
    def send(self, count: int, group: str, delay_s: float) -> None:
        batch = []
        for _ in range(count):
            number = next(self.numbers)
            batch.append(OutboundMessage(f"m{number}", group, delay_s))
            due = self.now + delay_s if delay_s else None
            self.known[f"m{number}"] = Known(number, group, due)
        self.queue.send(batch)

    @rule(count=st.integers(1, 10), lease_s=st.sampled_from([1.0, 7.0, 30.0]))
    def receive(self, count: int, lease_s: float) -> None:
        visible = self.visible()
        exhausted = {body for body in visible if visible[body].receive_count == MAX_RECEIVES}
        received = self.queue.receive(count, lease_s=lease_s)
        bodies = [message.body for message in received]
        assert len(set(bodies)) == len(bodies)
        assert set(bodies) <= visible.keys() - exhausted
        self.note_dead_letters(exhausted)
        assert len(bodies) == count or not self.visible().keys() - set(bodies)
        for group in {visible[body].group for body in bodies}:
            order = [body for body in bodies if visible[body].group == group]
            waiting = [one for one in self.visible().values() if one.group == group]
            first = sorted(one.number for one in waiting)[: len(order)]
            assert [visible[body].number for body in order] == first
        for message in received:
            one = visible[message.body]
            one.receive_count += 1
            assert message.receive_count == one.receive_count
            assert message.receipt not in self.receipts
            one.due, one.receipt = self.now + lease_s, message.receipt
            self.receipts.append(message.receipt)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        receipts = self.some_receipts(data)
        self.queue.delete(receipts)
        self.known = {body: one for body, one in self.known.items() if one.receipt not in receipts}

    @rule(data=st.data(), lease_s=st.sampled_from([1.0, 20.0]))
    def extend(self, data: st.DataObject, lease_s: float) -> None:
        receipts = self.some_receipts(data)
        self.queue.extend(receipts, lease_s)
        for one in self.known.values():
            if one.receipt in receipts:
                one.due = self.now + lease_s

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        receipts = self.some_receipts(data)
        self.queue.release(receipts)
        for one in self.known.values():
            if one.receipt in receipts:
                one.due = None

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def depth_is_exact(self) -> None:
        visible = len(self.visible())
        hidden = [one for one in self.known.values() if one.due is not None and one.due > self.now]
        leased = sum(one.receive_count > 0 for one in hidden)
        assert self.queue.depth() == QueueDepth(visible, leased, len(hidden) - leased)

    def visible(self) -> dict[str, Known]:
        return {
            body: one for body, one in self.known.items() if one.due is None or one.due <= self.now
        }

    def some_receipts(self, data: st.DataObject) -> list[str]:
        """Receipts of the past, stale ones among them."""
        if not self.receipts:
            return []
        return data.draw(st.lists(st.sampled_from(self.receipts), max_size=12))

    def note_dead_letters(self, exhausted: set[str]) -> None:
        """The dead letters that came since the last check are all exhausted."""
        while batch := self.dead_letters.receive(10, lease_s=1000.0):
            for message in batch:
                assert message.body in exhausted
                assert message.body not in self.dead
                self.dead.add(message.body)
                del self.known[message.body]
            self.dead_letters.delete([message.receipt for message in batch])


@pytest.mark.parametrize("adapter", ["memory", "local"])
def test_a_queue_behaves_like_its_model(adapter: str, tmp_path: Path) -> None:
    names = itertools.count()
    opened: list[SqliteQueue] = []

    def make_memory(clock: Clock) -> tuple[Queue, Queue]:
        dead = MemoryQueue(clock=clock)
        return MemoryQueue(max_receives=MAX_RECEIVES, dead_letters=dead, clock=clock), dead

    def make_local(clock: Clock) -> tuple[Queue, Queue]:
        folder = tmp_path / str(next(names))
        dead = SqliteQueue(folder / "dead.db", durable=False, clock=clock)
        queue = SqliteQueue(
            folder / "queue.db",
            max_receives=MAX_RECEIVES,
            dead_letters=dead,
            durable=False,
            clock=clock,
        )
        opened.extend([queue, dead])
        return queue, dead

    makers: dict[str, QueueMaker] = {"memory": make_memory, "local": make_local}

    class Machine(QueueModel):
        make = staticmethod(makers[adapter])

        def teardown(self) -> None:
            while opened:
                opened.pop().close()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
