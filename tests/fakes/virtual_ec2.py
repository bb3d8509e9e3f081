"""Controllers, a queue of images and workers on fake instances, on a virtual clock.

Controllers are real code in threads, of which one runs at a time. At each call to the ledger or to
EC2 the scheduler may let another one go on, let time pass, or leave the caller asleep for an hour,
as a laptop would. All of it follows from one seed.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from iraas.backends.aws.fleet.fake_ec2 import FakeEc2, FakeInstance
from iraas.core.keys import worker_key
from iraas.core.ports import QueueDepth, StoredObject
from iraas.core.records import WorkerRecord
from iraas.errors import BackendUnavailableError, ObjectNotFoundError
from tests.fakes.clock import Clock

SIGNATURE_S = 900.0


class Scheduler:
    """Lets one of several threads run at a time, and decides at random which, and when."""

    def __init__(self, clock: Clock, rng: random.Random, pause: float) -> None:
        self._clock = clock
        self._rng = rng
        self._pause = pause
        self._turn: dict[int, threading.Semaphore] = {}
        self._asleep_until: dict[int, float] = {}
        self._back = threading.Semaphore(0)
        self._done: set[int] = set()
        self._errors: list[BaseException] = []
        self.on_time: Callable[[], None] = lambda: None

    def run(self, bodies: Sequence[Callable[[], None]]) -> None:
        threads = []
        for body in bodies:
            turn = threading.Semaphore(0)
            thread = threading.Thread(target=self._thread, args=(body, turn), daemon=True)
            thread.start()
            threads.append(thread)
            self._turn[thread.ident or 0] = turn
        while len(self._done) < len(threads):
            self._advance(self._rng.uniform(0, 3))
            ready = [
                one
                for one in self._turn
                if one not in self._done and self._asleep_until.get(one, 0) <= self._clock.now
            ]
            if ready:
                self._turn[self._rng.choice(ready)].release()
                self._back.acquire()
        if self._errors:
            raise self._errors[0]

    def switch(self) -> None:
        """A point at which another thread may run and time may pass."""
        if self._rng.random() < self._pause:
            self.sleep(self._rng.choice([30.0, 70.0, 600.0, 1000.0, 4000.0]))
        elif self._rng.random() < 0.5:  # half of all calls are quick
            self.sleep(0)

    def sleep(self, seconds: float) -> None:
        ident = threading.get_ident()
        self._asleep_until[ident] = self._clock.now + seconds
        self._back.release()
        self._turn[ident].acquire()

    def _thread(self, body: Callable[[], None], turn: threading.Semaphore) -> None:
        turn.acquire()
        try:
            body()
        except BaseException as exc:  # noqa: BLE001 - raised again where the test sees it
            self._errors.append(exc)
        finally:
            self._done.add(threading.get_ident())
            self._back.release()

    def _advance(self, seconds: float) -> None:
        self._clock.now += seconds
        self.on_time()


class Store:
    """An object store in memory; as the ledger's it switches, fails, and loses its replies."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        switch: Callable[[], None] = lambda: None,
        *,
        fail: float = 0.0,
    ) -> None:
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._clock = clock
        self._rng = rng
        self._switch = switch
        self._fail = fail

    def put(self, key: str, data: bytes) -> None:
        self._objects[key] = (data, self._clock.now)

    def put_if_absent(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        self._switch()
        fails = self._rng.random() < self._fail
        if fails and self._rng.random() < 0.5:
            raise BackendUnavailableError("the write did not arrive")
        stored = []
        for key, data in objects:
            stored.append(key not in self._objects)
            self._objects.setdefault(key, (data, self._clock.now))
        if fails:
            raise BackendUnavailableError("the reply to the write is lost")
        self._switch()
        return stored

    def get(self, key: str) -> bytes:
        try:
            return self._objects[key][0]
        except KeyError:
            raise ObjectNotFoundError(key) from None

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        self._switch()
        found = sorted((key, *value) for key, value in self._objects.items() if key > after)
        return iter(
            [StoredObject(key, len(data), at) for key, data, at in found if key.startswith(prefix)]
        )

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._objects.pop(key, None)


class SwitchingEc2:
    """A client of the fake EC2 whose calls take time, and whose signatures go out of date."""

    def __init__(self, ec2: FakeEc2, clock: Clock, switch: Callable[[], None]) -> None:
        self._ec2 = ec2
        self._clock = clock
        self._switch = switch
        self._before_send: list[Callable[[], None]] = []

    def register(self, event: str, handler: Callable[[], None]) -> None:
        assert event == "before-send.ec2.RunInstances"
        self._before_send.append(handler)

    def run_instances(self, **request: Any) -> Any:
        self._switch()
        signed_at = self._clock.now
        for handler in self._before_send:
            handler()
        self._switch()
        if self._clock.now - signed_at > SIGNATURE_S:
            answer: Any = {
                "Error": {"Code": "RequestExpired"},
                "ResponseMetadata": {"HTTPStatusCode": 400},
            }
            raise ClientError(answer, "RunInstances")
        result = self._ec2.run_instances(**request)
        self._switch()
        return result

    def describe_instances(self, **request: Any) -> Any:
        self._switch()
        result = self._ec2.describe_instances(**request)
        self._switch()
        return result

    def terminate_instances(self, **request: Any) -> Any:
        self._switch()
        return self._ec2.terminate_instances(**request)


@dataclass(slots=True)
class _Worker:
    instance: FakeInstance
    hung: bool
    holds_until: float = 0.0
    idle_since: float = float("inf")


@dataclass(slots=True)
class Images:
    """The request queue, as far as counts go, and the workers on the fake's instances.

    A worker works on one image at a time, says so in its record, and shuts its machine down when
    there has been nothing to do for a while. One that hangs does nothing of that.
    """

    ec2: FakeEc2
    clock: Clock
    rng: random.Random
    records: Store
    waiting: int
    hang: float
    interrupt: float
    done: int = 0
    _workers: dict[str, _Worker] = field(default_factory=dict)
    _leased: list[float] = field(default_factory=list)

    def depth(self) -> QueueDepth:
        """A noisy count, as SQS gives."""
        working = sum(one.holds_until > 0 for one in self._workers.values())
        noise = self.rng.choice([0, 0, 0, 1, -1])
        visible = max(0, self.waiting + noise) if self.waiting else 0
        return QueueDepth(visible, working + len(self._leased), 0)

    def step(self) -> None:
        """Let workers do what they do up to now."""
        now = self.clock.now
        back = [end for end in self._leased if end <= now]
        self._leased = [end for end in self._leased if end > now]
        self.waiting += len(back)
        running = {one.instance_id: one for one in self.ec2.live() if one.state(now) == "running"}
        for gone in set(self._workers) - set(running):
            if self._workers.pop(gone).holds_until:
                self._leased.append(now + 30.0)
        for instance_id, instance in running.items():
            if instance_id not in self._workers:
                self._workers[instance_id] = _Worker(instance, self.rng.random() < self.hang)
            self._work(self._workers[instance_id], now)

    def _work(self, worker: _Worker, now: float) -> None:
        instance_id = worker.instance.instance_id
        if self.rng.random() < self.interrupt or now - worker.instance.launched_at > 7200:
            self.ec2.end(instance_id)
            return
        if worker.hung:
            return
        if worker.holds_until and worker.holds_until <= now:
            worker.holds_until = 0.0
            self.done += 1
        if not worker.holds_until and self.waiting:
            self.waiting -= 1
            worker.holds_until = now + self.rng.uniform(5, 60)
            worker.idle_since = float("inf")
        elif not worker.holds_until:
            worker.idle_since = min(worker.idle_since, now)
            if now - worker.idle_since > 10:
                self.ec2.end(instance_id)
                return
        record = WorkerRecord(instance_id, "running", worker.instance.launched_at, now)
        self.records.put(worker_key(instance_id), record.encode())
