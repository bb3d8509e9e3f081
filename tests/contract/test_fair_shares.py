"""Groups share a queue by the time that their messages take, whatever their number.

Time passes on the rig's clock only.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping

import pytest

from iraas.core.fair_shares import FIRST_COST_S
from iraas.core.ports import OutboundMessage, Queue

LEASE_S = 60.0
SLOW_S = 1.4
QUICK_S = 0.02
COSTS = {"attack": SLOW_S, "honest": QUICK_S}
Check = Callable[[str], None]
PassTime = Callable[[float], None]


@pytest.fixture(autouse=True)
def _needs_fair_groups(promised: Check) -> None:
    promised("fair groups")


class Consumer:
    """A worker that receives messages, processes them one by one, and deletes them."""

    def __init__(self, queue: Queue, pass_time: PassTime, costs: Mapping[str, float]) -> None:
        self.queue = queue
        self.pass_time = pass_time
        self.costs = costs
        self.spent_s: dict[str, float] = defaultdict(float)
        self.done: dict[str, int] = defaultdict(int)
        self.now = 0.0

    def work(self, *, at_once: int = 1, report: bool = False) -> list[str]:
        """Receive up to that many messages and delete them together; return their groups."""
        messages = self.queue.receive(at_once, lease_s=LEASE_S)
        took_s = []
        for message in messages:
            cost = self.costs[message.body]
            self.pass_time(cost)
            self.now += cost
            self.spent_s[message.body] += cost
            self.done[message.body] += 1
            took_s.append(cost)
        self.queue.delete([one.receipt for one in messages], took_s if report else None)
        return [one.body for one in messages]

    def difference_s(self) -> float:
        return abs(self.spent_s["attack"] - self.spent_s["honest"])


@pytest.fixture
def consumer(queue: Queue, pass_time: PassTime) -> Consumer:
    return Consumer(queue, pass_time, COSTS)


def send(queue: Queue, group: str, count: int) -> None:
    queue.send([OutboundMessage(group, group)] * count)


@pytest.mark.parametrize("first", ["attack", "honest"])
def test_a_job_of_slow_messages_gets_no_more_time_than_one_of_quick_ones(
    consumer: Consumer, first: str
) -> None:
    for group in (first, *(COSTS.keys() - {first})):
        send(consumer.queue, group, 700)
    while consumer.now < 20.0:
        consumer.work()
        assert consumer.difference_s() <= SLOW_S + QUICK_S + FIRST_COST_S
    assert consumer.done["honest"] > 400


@pytest.mark.parametrize("at_once", [4, 10])
def test_messages_received_together_are_charged_as_the_consumer_reports(
    consumer: Consumer, at_once: int
) -> None:
    for group in COSTS:
        send(consumer.queue, group, 700)
    while consumer.now < 20.0:
        consumer.work(at_once=at_once, report=True)
        assert consumer.difference_s() <= at_once * SLOW_S
    assert consumer.done["honest"] > 200


def test_an_honest_job_waits_for_no_more_than_what_is_in_flight_and_its_own_share(
    consumer: Consumer,
) -> None:
    send(consumer.queue, "attack", 100)
    for _ in range(10):
        consumer.work()
    in_flight = consumer.queue.receive(4, lease_s=LEASE_S)
    send(consumer.queue, "honest", 20)
    came = consumer.now
    while consumer.done["honest"] < 20:
        consumer.work()
    assert consumer.now - came <= 2 * 20 * QUICK_S + 2 * SLOW_S
    assert [one.body for one in in_flight] == ["attack"] * 4
    assert consumer.done["attack"] <= 12


def test_many_hostile_jobs_leave_an_honest_one_its_share(queue: Queue, pass_time: PassTime) -> None:
    attackers = [f"attack-{n}" for n in range(9)]
    consumer = Consumer(queue, pass_time, dict.fromkeys(attackers, SLOW_S) | {"honest": QUICK_S})
    for group in (*attackers, "honest"):
        send(queue, group, 200)
    while consumer.now < 100.0:
        consumer.work()
    share_s = min(consumer.now / 10, 200 * QUICK_S)
    assert consumer.spent_s["honest"] >= share_s - SLOW_S


def test_a_paused_group_accumulates_no_credit(consumer: Consumer) -> None:
    send(consumer.queue, "honest", 1)
    send(consumer.queue, "attack", 200)
    while consumer.now < 100.0:
        consumer.work()
    send(consumer.queue, "honest", 700)
    before = dict(consumer.spent_s)
    while consumer.now < 110.0:
        consumer.work()
    honest_s = consumer.spent_s["honest"] - before["honest"]
    attack_s = consumer.spent_s["attack"] - before["attack"]
    assert abs(honest_s - attack_s) <= 2 * SLOW_S


@pytest.mark.parametrize("end", ["lease ends", "released"])
def test_time_under_an_expired_lease_is_charged(
    consumer: Consumer, pass_time: PassTime, end: str
) -> None:
    queue = consumer.queue
    send(queue, "attack", 1)
    send(queue, "honest", 700)
    (message,) = queue.receive(1, lease_s=10.0)
    assert message.body == "attack"
    pass_time(10.0)
    if end == "released":
        queue.release([message.receipt])
    served = [one for _ in range(400) for one in consumer.work()]
    assert served == ["honest"] * 400
    assert "attack" in [one for _ in range(200) for one in consumer.work()]


def test_messages_of_a_dead_process_are_charged_once_together(
    consumer: Consumer, pass_time: PassTime
) -> None:
    """Four messages were held for ten seconds by one process: that is ten seconds, not forty."""
    queue = consumer.queue
    send(queue, "honest", 4)
    held = queue.receive(4, lease_s=LEASE_S)
    pass_time(10.0)
    queue.release([one.receipt for one in held])
    send(queue, "attack", 50)
    spent_s = 0.0
    while "honest" not in (served := consumer.work()):
        spent_s += len(served) * SLOW_S
    assert spent_s <= SLOW_S  # the attack came later, and starts where the other group is


def test_invalid_reported_times_are_clamped(queue: Queue, pass_time: PassTime) -> None:
    for reported_s in (float("nan"), float("inf"), -5.0, 10.0**12):
        send(queue, "attack", 1)
        send(queue, "honest", 1)
        for _ in range(2):
            (message,) = queue.receive(1, lease_s=LEASE_S)
            pass_time(0.5)
            queue.delete([message.receipt], [reported_s])
        assert queue.depth().total == 0
