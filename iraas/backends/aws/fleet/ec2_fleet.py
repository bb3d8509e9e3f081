"""The fleet on EC2: numbered slots, one launch per slot generation, coordinated by a ledger."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from iraas.backends.aws.fleet.ec2_instances import (
    INSTANCE_ROLES,
    Ec2Client,
    list_instances,
    terminate_instances,
)
from iraas.backends.aws.fleet.fleet_snapshot import FleetSnapshot, read_snapshot
from iraas.backends.aws.fleet.launch_candidates import LaunchCandidates
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger
from iraas.backends.aws.fleet.slot_launcher import FillResult, SlotLauncher
from iraas.backends.aws.names import Names
from iraas.core.ports import Instance, Launch
from iraas.core.settings import MAX_FLEET
from iraas.errors import IraasError

PARALLEL_LAUNCHES = 4
"""EC2 allows an account bursts of five RunInstances calls, and two per second
(https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html)."""

PRUNE_EVERY_S = 3600.0
READY_WITHIN_S = 120.0
"""A new role is usually visible everywhere within seconds: IAM is eventually consistent, without a
documented bound (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html)."""


class Ec2Fleet:
    """`iraas.core.ports.Fleet` on EC2. Any number of controllers may use it concurrently.

    The cap holds because only the controller that wrote a slot's next ledger entry launches into
    it, and a slot's generation ends only when its instance is known to be terminated or its launch
    provably never happened. `docs/adr/0014-launch-ledger.md` has the full argument.
    """

    def __init__(
        self,
        client: Ec2Client,
        launch_client: Ec2Client,
        ledger: LaunchLedger,
        names: Names,
        candidates: Callable[[], LaunchCandidates],
        *,
        capacity: int = MAX_FLEET,
        role: str = "worker",
        template: str = "",
        holder: str = "",
        parallel: int = PARALLEL_LAUNCHES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open a fleet without calling AWS.

        Args:
            client: EC2 client for listing and terminating instances.
            launch_client: EC2 client that sends each request once and has `guard_launches`.
            ledger: The role's launch ledger.
            names: The deployment's resource names.
            candidates: Returns the launch candidates; called for each launch. It returns the same
                object, which holds the cooldowns, until the configuration changes.
            capacity: Number of slots, 1..19.
            role: The instances' role tag.
            template: The launch template's name; by default the workers'.
            holder: This controller's id in the ledger, for display.
            parallel: Maximum number of concurrent launches.
            clock: Seconds since the epoch.

        Raises:
            ValueError: The capacity is out of range.
        """
        if not 1 <= capacity <= MAX_FLEET:
            raise ValueError(f"a fleet has 1..{MAX_FLEET} slots, not {capacity}")
        self._client = client
        self._ledger = ledger
        self._deployment = names.deployment
        self._candidates = candidates
        self._capacity = capacity
        self._role = role
        self._parallel = parallel
        self._clock = clock
        self._pruned_at = clock()
        self._ended: set[str] = set()
        self._last_snapshot: FleetSnapshot | None = None
        self._launcher = SlotLauncher(
            launch_client,
            ledger,
            names,
            self._candidates,
            role=role,
            template=template or names.worker,
            holder=holder,
            clock=clock,
        )

    @property
    def capacity(self) -> int:
        """The number of slots."""
        return self._capacity

    def launch(self, count: int) -> Launch:
        """Launch instances into free slots. Does not wait for their workers.

        Makes no launch call while all candidates are in cooldown. The shortfall then gives the
        reason, and begins with ``capacity-limited`` if that is the cause. After an error that is
        not about capacity, no further slot is tried.

        Args:
            count: Number of instances to launch. With 0, only reconciles the ledger with the last
                snapshot, without another listing.

        Raises:
            IraasError: Nothing was launched, for a reason other than capacity. Raised once; during
                the following cooldown, the shortfall repeats it.
        """
        if count <= 0:
            self._reconcile(self._last_snapshot)
            return Launch(())
        snapshot = self._read_snapshot()
        self._reconcile(snapshot)
        capacity = min(self._capacity, self._candidates().max_instances)
        remaining = snapshot.remaining_capacity(capacity)
        free = [slot for slot in range(capacity) if snapshot.is_free(slot)][: max(0, remaining)]
        unconfirmed = filter(self._launcher.should_resend, snapshot.entries.values())
        resends = list(unconfirmed)[:count] if remaining >= 0 else []
        tasks = [partial(self._launcher.resend, entry, snapshot.read_at) for entry in resends]
        tasks += [
            partial(self._launcher.fill, slot, snapshot.entries.get(slot), snapshot.read_at)
            for slot in free[: count - len(resends)]
        ]
        results = self._run_tasks(tasks)
        launched = tuple(result.instance_id for result in results if result.instance_id)
        errors = [result.error for result in results if result.error]
        if errors and not launched:
            raise errors[0]
        return Launch(launched, self._shortfall(count, launched, results, len(free)))

    def instances(self) -> list[Instance]:
        """List existing instances, including those that are booting or stopping. Changes nothing.

        An instance that EC2 does not list yet is taken from the ledger.

        Raises:
            PermissionDeniedError, BackendError: EC2 or the ledger cannot be read.
        """
        return self._read_snapshot().instances()

    def non_worker_instances(self) -> list[Instance]:
        """List live instances of the deployment's other roles.

        Raises:
            PermissionDeniedError, BackendError: EC2 cannot be read.
        """
        roles = [role for role in INSTANCE_ROLES if role != self._role]
        listed = list_instances(self._client, self._deployment, roles)
        return [instance.to_instance() for instance in listed if instance.live]

    def retry_after_s(self) -> float | None:
        """Seconds until a retry makes sense if the cause usually resolves in seconds; or None."""
        return self._candidates().retry_after_s()

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Terminate instances. Idempotent; ids unknown to EC2 are ignored.

        An instance that is too new to be known remains listed and can be terminated later.

        Args:
            instance_ids: The instances' ids.

        Raises:
            PermissionDeniedError, BackendError: Some may have been terminated.
        """
        terminate_instances(self._client, list(dict.fromkeys(instance_ids)))

    def _read_snapshot(self) -> FleetSnapshot:
        now = self._clock()
        self._last_snapshot = snapshot = read_snapshot(
            self._client,
            self._ledger.latest(),
            self._deployment,
            self._role,
            read_at=now,
            ended=self._ended,
        )
        return snapshot

    def _reconcile(self, snapshot: FleetSnapshot | None) -> None:
        self._last_snapshot = None
        if snapshot is not None:
            self._launcher.reconcile(snapshot)
            self._prune(snapshot.read_at)

    def _run_tasks(self, tasks: Sequence[Callable[[], FillResult]]) -> list[FillResult]:
        failed = threading.Event()

        def attempt(task: Callable[[], FillResult]) -> FillResult:
            if failed.is_set():
                return FillResult()
            try:
                result = task()
            except IraasError as exc:
                result = FillResult(error=exc)
            if result.error is not None:
                failed.set()
            return result

        if len(tasks) <= 1 or self._parallel <= 1:
            return [attempt(task) for task in tasks]
        with ThreadPoolExecutor(min(self._parallel, len(tasks)), "launch") as pool:
            return list(pool.map(attempt, tasks))

    def _prune(self, now: float) -> None:
        if now - self._pruned_at > PRUNE_EVERY_S:
            self._pruned_at = now
            self._ledger.prune(now)

    def _shortfall(
        self, count: int, launched: Sequence[str], results: Sequence[FillResult], free: int
    ) -> str:
        if len(launched) >= count:
            return ""
        errors = {str(result.error) for result in results if result.error}
        shortage = self._candidates().shortage()
        # The shortage would repeat the error that caused the cooldown.
        reasons = sorted(errors) or [shortage]
        unconfirmed = sum(result.unconfirmed for result in results)
        if unconfirmed:
            reasons.append(f"unconfirmed launches (slots stay reserved): {unconfirmed}")
        if free < count:
            reasons.append(f"{free} of {self._capacity} slots were free")
        return "; ".join(filter(None, reasons)) or "another controller was faster"


def launch_web_tier(
    fleet: Ec2Fleet,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Launch:
    """Launch the web tier's instance unless it exists. Idempotent.

    Retries transient failures, such as a role that EC2 does not know yet, for up to
    `READY_WITHIN_S`.

    Args:
        fleet: The web tier's fleet of one slot.
        sleep: Waits for a number of seconds.
        clock: Monotonic clock, in seconds.

    Raises:
        NotProvisionedError: The deployment has not been provisioned.
        IraasError: The launch failed.
    """
    existing = fleet.instances()
    if existing:
        return Launch(tuple(instance.instance_id for instance in existing))
    deadline = clock() + READY_WITHIN_S
    while True:
        launch = fleet.launch(1)
        pause_s = fleet.retry_after_s()
        if launch.launched or pause_s is None or clock() >= deadline:
            return launch
        sleep(pause_s)
