"""Images under faults of all kinds: each ends in one outcome, and the queue is empty.

The steps are the worker's (DESIGN §3): receive, store the outcome if absent, reply, delete.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from iraas.core.ports import OutboundMessage
from iraas.errors import BackendUnavailableError
from tests.functional.aws.deployments import Deployment
from tests.functional.aws.faults import (
    Fault,
    FaultProxy,
    answer,
    fail_entries,
    garbage,
    lose_reply,
    refuse,
)
from tests.waiting import join, wait_until

MESSAGES = 60
LEASE_S = 2.0
ANY_CALL: list[Fault] = [
    refuse,
    lose_reply,
    garbage,
    answer(500, "InternalError"),
    answer(500, "InternalError", took_effect=True),
    answer(503, "SlowDown"),
    answer(400, "RequestThrottled"),
]
BATCHES: list[Fault] = [fail_entries(0), fail_entries(1, 2), fail_entries(*range(10))]


def random_faults(seed: int, share: float) -> dict[str, list[Fault | None]]:
    """The faults of the first calls of each operation; later calls succeed, and the run ends."""
    dice = random.Random(seed)
    plans: dict[str, list[Fault | None]] = {}
    for operation in ("ReceiveMessage", "PutObject", "SendMessageBatch", "DeleteMessageBatch"):
        kinds = ANY_CALL + (BATCHES if operation.endswith("Batch") else [])
        plans[operation] = [
            dice.choice(kinds) if dice.random() < share else None for _ in range(40)
        ]
    return plans


class Worker:
    """Does the steps of a worker, and restarts at the receive after a temporary failure."""

    def __init__(self, deployment: Deployment) -> None:
        self._requests = deployment.requests
        self._outputs = deployment.outputs
        self._replies = deployment.responses.find("me")
        self.stored: list[str] = []

    def work(self, done: threading.Event) -> None:
        while not done.is_set():
            try:
                self._step()
            except BackendUnavailableError:
                continue

    def _step(self) -> None:
        messages = self._requests.receive(10, lease_s=LEASE_S, wait_s=1)
        if not messages:
            return
        keys = [f"job/{one.body}.json" for one in messages]
        stored = self._outputs.put_if_absent([(key, b"outcome") for key in keys])
        self.stored += [key for key, new in zip(keys, stored, strict=True) if new]
        self._replies.send([OutboundMessage(one.body) for one in messages])
        self._requests.delete([one.receipt for one in messages])


@pytest.mark.parametrize("seed", [1, 2])
def test_each_message_ends_in_one_outcome_and_one_reply_at_least(
    shaky: Deployment,
    deployment: Deployment,
    proxy: FaultProxy,
    pass_emulated_time: Callable[[float], None],
    seed: int,
) -> None:
    deployment.allow_receives(50)  # faults and leases that end early take their share
    replies = deployment.responses.create("me")
    plans = random_faults(seed, 0.4)
    lock = threading.Lock()

    def choose(operation: str) -> Fault | None:
        with lock:
            plan = plans.get(operation)
            return plan.pop() if plan else None

    proxy.plan_all(choose)
    bodies = {str(number) for number in range(MESSAGES)}
    while True:
        try:
            shaky.requests.send([OutboundMessage(body) for body in bodies])
            break
        except BackendUnavailableError:
            continue
    workers = [Worker(shaky), Worker(shaky)]
    done = threading.Event()
    threads = [threading.Thread(target=worker.work, args=(done,)) for worker in workers]
    for thread in threads:
        thread.start()
    replied: set[str] = set()

    def all_is_replied() -> bool:
        messages = replies.receive(10, lease_s=600)
        if not messages:
            pass_emulated_time(LEASE_S / 10)  # on to the end of the leases that faults left behind
        replied.update(one.body for one in messages)
        replies.delete([one.receipt for one in messages])
        return replied >= bodies and not deployment.requests.depth().total

    try:
        wait_until(all_is_replied, lambda: f"replies to {bodies - replied}")
    finally:
        done.set()
        join(*threads)
    assert replied == bodies
    assert deployment.requests.depth().total == 0
    expected = {f"job/{body}.json" for body in bodies}
    assert {one.key for one in deployment.outputs.list()} == expected
    stored_by_key = Counter(key for worker in workers for key in worker.stored)
    assert set(stored_by_key.values()) <= {1}, json.dumps(stored_by_key)
