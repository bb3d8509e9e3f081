"""The controller: observe, decide, act, and record why.

It has no essential state: after a restart it observes the queue, the records and the fleet again,
and workers are not affected. The lease prevents two active controllers; if that fails, the fleet's
slots, each of which can be filled only once, still enforce the cap.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from iraas.controller.dead_letters import DeadLetterProcessor
from iraas.controller.decision_log import DecisionLog
from iraas.core.autoscaling import Observation, Policy
from iraas.core.backoff import Backoff
from iraas.core.keys import worker_key
from iraas.core.ports import Backend, Instance
from iraas.core.records import FAILED, ScalingDecision, WorkerRecord, decode_worker
from iraas.errors import (
    BackendError,
    ConfigurationError,
    MessageError,
    ObjectNotFoundError,
)
from iraas.monitoring.costs import CostTracker

log = logging.getLogger(__name__)
MAX_BROKEN_WORKERS = 6
MAX_BACKOFF_S = 60.0
LOST_INSTANCE = "its worker never reported"
SILENT_INSTANCE = "its worker stopped sending heartbeats"


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """Timing of a controller, in seconds.

    Attributes:
        poll_interval_s: Interval of polls.
        idle_s: Extra time between polls while idle, because polls cost API calls. The queue alone
            is still polled each `poll_interval_s`, so that no image waits for that.
        startup_timeout_s: How long an instance may take until its worker's first heartbeat.
        heartbeat_timeout_s: The maximum time between a worker's heartbeats.
        cleanup_interval_s: Interval of cleanups: dead letters, unread response queues.
        response_queue_ttl_s: How long an unread response queue is kept.
        note_s: How often an unchanged decision is recorded again.
        recount_s: How often it is recorded if only the counts behind it changed.
    """

    poll_interval_s: float = 0.25
    idle_s: float = 0.0
    startup_timeout_s: float = 60.0
    heartbeat_timeout_s: float = 60.0
    cleanup_interval_s: float = 30.0
    response_queue_ttl_s: float = 86_400.0
    note_s: float = 60.0
    recount_s: float = 1.0


class Controller:
    """Launches as many workers as the policy wants and terminates orphans. Not thread-safe.

    Args:
        backend: The deployment.
        policy: Decides how many workers there should be.
        cap: The maximum number of workers.
        config: The timing.
        clock: Returns seconds since the epoch.

    Attributes:
        configuration_error: The invalid setting that prevents any launch while there are no
            workers; None otherwise.
    """

    configuration_error: ConfigurationError | None = None

    def __init__(
        self,
        backend: Backend,
        policy: Policy,
        *,
        cap: int,
        config: ControllerConfig | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._policy = policy
        self._cap = min(cap, backend.fleet.capacity)
        self._config = config or ControllerConfig()
        self._clock = clock
        self._dead_letters = DeadLetterProcessor(backend, clock)
        self._costs = CostTracker(backend, backend.pricing, clock)
        self._cleaned_up_at = 0.0
        self._decisions = DecisionLog(
            backend.records, note_s=self._config.note_s, recount_s=self._config.recount_s
        )
        self._known: set[str] = set()
        self._crash_backoff = Backoff(clock, first_s=2.0, longest_s=MAX_BACKOFF_S)
        self._launch_backoff = Backoff(clock, first_s=2.0, longest_s=MAX_BACKOFF_S)
        first_s = self._config.poll_interval_s
        self._poll_backoff = Backoff(time.monotonic, first_s=first_s, longest_s=MAX_BACKOFF_S)
        self._has_polled = False
        self._non_workers: list[Instance] = []

    def run(self, stop: threading.Event, *, until_idle: bool = False) -> None:
        """Poll until stopped, with exponential backoff after failures. Releases the lease at last.

        Args:
            stop: Ends it before the next poll.
            until_idle: Also end once no request and no worker is left, or once several workers in a
                row could not work, because nobody monitors a controller that ends by itself.

        Raises:
            ConfigurationError: A setting is invalid at the first poll. Later such an error is
                recorded in the last decision and the poll is retried.
        """
        try:
            while not stop.is_set():
                decision = self._try_tick()
                if until_idle and decision is not None and self._should_exit(decision):
                    return
                self._rest(stop, decision)
        finally:
            self._backend.lease.release()

    def tick(self) -> ScalingDecision | None:
        """Observe, decide and act once.

        Returns:
            The decision; None if another controller holds the lease.

        Raises:
            BackendError: The backend failed; the next tick starts again.
            ConfigurationError: A setting is invalid, or a permission is missing.
        """
        if not self._backend.lease.hold():
            return None
        instances = self._backend.fleet.instances()
        self._costs.observe(instances)
        ids = [instance.instance_id for instance in instances]
        records = {instance_id: self._record_of(instance_id) for instance_id in ids}
        self._track_exited(set(ids))
        removed = self._remove_orphans(instances, records)
        observation = self._observe(instances, records, removed)
        decision = self._policy.decide(observation)
        launched, blocker = self._launch(decision.wanted, observation.workers, instances)
        record = ScalingDecision(
            at=observation.at,
            **asdict(observation.queue),
            booting=observation.booting,
            running=observation.running,
            wanted=decision.wanted,
            launched=launched,
            removed=removed,
            broken_in_a_row=self._crash_backoff.consecutive_failures,
            reason=f"{decision.reason}; {blocker}" if blocker else decision.reason,
        )
        self._decisions.record(record)
        self._clean_up()
        return record

    def _try_tick(self) -> ScalingDecision | None:
        try:
            decision = self.tick()
        except (BackendError, ConfigurationError) as exc:
            if isinstance(exc, ConfigurationError):
                if not self._has_polled:
                    raise
                reason = f"the controller cannot work: {exc}"
                self._decisions.record_error(reason, self._clock())
            log.warning("the controller could not poll: %s", exc)
            self._poll_backoff.record_failure(str(exc))
            return None
        self._has_polled = True
        self._poll_backoff.reset()
        return decision

    def _rest(self, stop: threading.Event, decision: ScalingDecision | None) -> None:
        """Wait for the next poll; while idle, longer or until a request arrives."""
        stop.wait(max(self._config.poll_interval_s, self._poll_backoff.remaining_s))
        if decision is None or not self._is_idle(decision):
            return
        until = time.monotonic() + self._config.idle_s
        while time.monotonic() < until and not self._has_requests():
            if stop.wait(self._config.poll_interval_s):
                return

    def _has_requests(self) -> bool:
        try:
            return self._backend.requests.depth().total > 0
        except (BackendError, ConfigurationError):
            return True  # the next poll reports the error

    def _record_of(self, instance_id: str) -> WorkerRecord | None:
        try:
            return decode_worker(self._backend.records.get(worker_key(instance_id)))
        except ObjectNotFoundError:
            return None
        except MessageError as exc:
            log.warning("%s", exc)
            return None

    def _observe(
        self,
        instances: list[Instance],
        records: dict[str, WorkerRecord | None],
        removed: dict[str, str],
    ) -> Observation:
        states = [
            record.state if (record := records[instance.instance_id]) else "starting"
            for instance in instances
            if instance.instance_id not in removed
        ]
        working = [record for record in records.values() if record and record.state == "running"]
        return Observation(
            at=self._clock(),
            queue=self._backend.requests.depth(),
            booting=states.count("starting"),
            running=states.count("running"),
            cap=self._cap,
            images_per_s=sum(record.images_per_s for record in working),
        )

    def _remove_orphans(
        self, instances: list[Instance], records: dict[str, WorkerRecord | None]
    ) -> dict[str, str]:
        now = self._clock()
        removed = {}
        for instance in instances:
            record = records[instance.instance_id]
            if record is None:
                if now - instance.launched_at > self._config.startup_timeout_s:
                    removed[instance.instance_id] = LOST_INSTANCE
            elif now - max(record.beat_at, instance.launched_at) > self._config.heartbeat_timeout_s:
                removed[instance.instance_id] = SILENT_INSTANCE
        if removed:
            self._backend.fleet.terminate(list(removed))
        return removed

    def _track_exited(self, present: set[str]) -> None:
        """Back off launching after workers that exited because they could not work."""
        for instance_id in self._known - present:
            record = self._record_of(instance_id)
            if record and record.state == FAILED and not record.done:
                self._crash_backoff.record_failure(record.reason)
            elif record and record.done:
                self._crash_backoff.reset()
        self._known = present

    def _launch(self, wanted: int, workers: int, present: list[Instance]) -> tuple[int, str]:
        """Launch missing workers; return how many were launched, and why there are not more."""
        count = max(0, wanted - workers)
        if workers or not count:
            self.configuration_error = None
        blocker = self._launch_blocker(present) if count else ""
        try:
            launch = self._backend.fleet.launch(0 if blocker else count)
        except ConfigurationError as exc:
            self._launch_backoff.record_failure(str(exc))
            self.configuration_error = None if workers else exc
            log.warning("could not launch: %s", exc)
            return 0, str(exc)
        if launch.launched:
            self.configuration_error = None
            self._launch_backoff.reset()
        self._known.update(launch.launched)
        return len(launch.launched), blocker or launch.shortfall

    def _launch_blocker(self, present: list[Instance]) -> str:
        if self._launch_backoff.remaining_s:
            return f"waiting before the next launch: {self._launch_backoff.reason}"
        if self._crash_backoff.remaining_s:
            return f"waiting before the next launch: a worker failed: {self._crash_backoff.reason}"
        return self._costs.is_exhausted([*present, *self._non_workers])

    def _should_exit(self, decision: ScalingDecision) -> bool:
        failures = self._crash_backoff.consecutive_failures
        is_hopeless = failures >= MAX_BROKEN_WORKERS and not self._known
        if is_hopeless:
            log.warning("%d workers in a row could not work: giving up", failures)
        return is_hopeless or self._is_idle(decision)

    def _is_idle(self, decision: ScalingDecision) -> bool:
        """Return whether there is no request and no instance, whatever its worker is doing."""
        return not (decision.visible or decision.in_flight or decision.delayed or self._known)

    def _clean_up(self) -> None:
        now = self._clock()
        if now - self._cleaned_up_at < self._config.cleanup_interval_s:
            return
        self._cleaned_up_at = now
        self._non_workers = self._backend.fleet.non_worker_instances()
        self._costs.observe(self._non_workers, of_fleet=False)
        self._dead_letters.run()
        self._backend.responses.sweep(self._config.response_queue_ttl_s)
