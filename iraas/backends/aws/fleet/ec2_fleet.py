"""The fleet on EC2: numbered slots, one launch a generation of a slot, and a ledger that agrees."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from iraas.backends.aws.fleet.ec2_instances import (
    ROLES,
    Ec2Client,
    list_instances,
    terminate_instances,
)
from iraas.backends.aws.fleet.fleet_snapshot import FleetSnapshot, read_view
from iraas.backends.aws.fleet.launch_candidates import LaunchCandidates
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger
from iraas.backends.aws.fleet.slot_launcher import Filled, SlotLauncher
from iraas.backends.aws.names import Names
from iraas.core.ports import Instance, Launch
from iraas.core.settings import MAX_FLEET
from iraas.errors import IraasError

PARALLEL_LAUNCHES = 4
"""EC2 lets an account make five RunInstances calls at once and two a second
(https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html)."""

PRUNE_EVERY_S = 3600.0
READY_WITHIN_S = 120.0
"""A role that was made just now is known everywhere within seconds, mostly: IAM is eventually
consistent, and gives no bound
(https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html)."""


class Ec2Fleet:
    """`iraas.core.ports.Fleet` on EC2. Any number of controllers may use it at once.

    What holds the cap: a slot is launched into only by the one who wrote its next ledger entry, and
    a slot's generation is over only when its instance is known to be terminated or its launch
    provably never happened. `docs/adr/0160-launch-ledger.md` has the whole argument.
    """

    def __init__(
        self,
        client: Ec2Client,
        launch_client: Ec2Client,
        ledger: LaunchLedger,
        names: Names,
        options: Callable[[], LaunchCandidates],
        *,
        capacity: int = MAX_FLEET,
        role: str = "worker",
        template: str = "",
        holder: str = "",
        parallel: int = PARALLEL_LAUNCHES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open a fleet; makes no call yet.

        Args:
            client: An EC2 client, for listing and ending instances.
            launch_client: One that sends each request once and has `guard_launches`.
            ledger: The ledger of this role.
            names: The deployment's names.
            options: Gives what to launch, in order; asked at each launch. It gives the same object,
                which knows what rests, for as long as nothing else is to be launched.
            capacity: Slots, 1..19.
            role: The instances' role tag.
            template: The launch template's name; the workers' by default.
            holder: Who this is, in the ledger, for people.
            parallel: Launches at once.
            clock: Gives seconds since the epoch.
        """
        if not 1 <= capacity <= MAX_FLEET:
            raise ValueError(f"a fleet has 1..{MAX_FLEET} slots, not {capacity}")
        self._client = client
        self._ledger = ledger
        self._deployment = names.deployment
        self._options = options
        self._capacity = capacity
        self._role = role
        self._parallel = parallel
        self._clock = clock
        self._pruned_at = clock()
        self._ended: set[str] = set()
        self._last_view: FleetSnapshot | None = None
        self._launcher = SlotLauncher(
            launch_client,
            ledger,
            names,
            self._options,
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
        """Launch instances into free slots, up to that many. Does not wait for their workers.

        To launch none is to write down what the last look has shown, without another one.

        Makes no call to launch while everything it could ask for rests after a refusal. The
        shortfall then says why, beginning with ``capacity-limited`` if that is the reason. After an
        error that is not about capacity no further slot is tried.

        Raises:
            IraasError: Nothing was launched, and capacity is not the reason. Told once; while the
                launches rest after it, it is in the shortfall.
        """
        if count <= 0:
            self._settle(self._last_view)
            return Launch(())
        view = self._view()
        self._settle(view)
        capacity = min(self._capacity, self._options().most)
        room = view.room(capacity)
        free = [slot for slot in range(capacity) if view.is_free(slot)][: max(0, room)]
        unanswered = [one for one in view.entries.values() if self._launcher.should_resend(one)]
        again = unanswered[:count] if room >= 0 else []
        tasks = [partial(self._launcher.resend, entry, view.read_at) for entry in again]
        tasks += [
            partial(self._launcher.fill, slot, view.entries.get(slot), view.read_at)
            for slot in free[: count - len(again)]
        ]
        filled = self._do(tasks)
        launched = tuple(one.instance_id for one in filled if one.instance_id)
        errors = [one.error for one in filled if one.error]
        if errors and not launched:
            raise errors[0]
        return Launch(launched, self._shortfall(count, launched, filled, len(free)))

    def instances(self) -> list[Instance]:
        """The instances that exist, those included that are still booting or stopping.

        One that EC2 does not list yet is told of from the ledger. Changes nothing.

        Raises:
            PermissionDeniedError, BackendError: EC2 or the ledger could not be asked.
        """
        return self._view().instances()

    def others(self) -> list[Instance]:
        """The live instances of the deployment's other roles, as EC2 lists them.

        Raises:
            PermissionDeniedError, BackendError: EC2 could not be asked.
        """
        roles = [role for role in ROLES if role != self._role]
        listed = list_instances(self._client, self._deployment, roles)
        return [one.to_instance() for one in listed if one.live]

    def soon_s(self) -> float | None:
        """Seconds until it makes sense to launch again, if what stood in the way of the last launch
        is often over within seconds; None otherwise.
        """
        return self._options().soon_s()

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """End instances, whatever they are doing. One that EC2 does not know is no error; if it is
        too new to be known it is still among the instances afterwards, and can be ended then.

        Raises:
            PermissionDeniedError, BackendError: Some may be ended.
        """
        terminate_instances(self._client, list(dict.fromkeys(instance_ids)))

    def _view(self) -> FleetSnapshot:
        now = self._clock()
        self._last_view = view = read_view(
            self._client,
            self._ledger.latest(),
            self._deployment,
            self._role,
            read_at=now,
            ended=self._ended,
        )
        return view

    def _settle(self, view: FleetSnapshot | None) -> None:
        self._last_view = None
        if view is not None:
            self._launcher.settle(view)
            self._prune(view.read_at)

    def _do(self, tasks: Sequence[Callable[[], Filled]]) -> list[Filled]:
        failed = threading.Event()

        def attempt(task: Callable[[], Filled]) -> Filled:
            if failed.is_set():
                return Filled()
            try:
                filled = task()
            except IraasError as exc:
                filled = Filled(error=exc)
            if filled.error is not None:
                failed.set()
            return filled

        if len(tasks) <= 1 or self._parallel <= 1:
            return [attempt(task) for task in tasks]
        with ThreadPoolExecutor(min(self._parallel, len(tasks)), "launch") as pool:
            return list(pool.map(attempt, tasks))

    def _prune(self, now: float) -> None:
        if now - self._pruned_at > PRUNE_EVERY_S:
            self._pruned_at = now
            self._ledger.prune(now)

    def _shortfall(
        self, count: int, launched: Sequence[str], filled: Sequence[Filled], free: int
    ) -> str:
        if len(launched) >= count:
            return ""
        errors = {str(one.error) for one in filled if one.error}
        shortage = self._options().shortage()
        # What rests after an error would say that error a second time.
        reasons = sorted(errors) or [shortage]
        unanswered = sum(one.unanswered for one in filled)
        if unanswered:
            reasons.append(f"{unanswered} launches have no answer yet; their slots are kept")
        if free < count:
            reasons.append(f"{free} of {self._capacity} slots were free")
        return "; ".join(filter(None, reasons)) or "another controller was faster"


def launch_web_tier(
    fleet: Ec2Fleet,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Launch:
    """Launch the web tier's instance unless it is there. Idempotent.

    While what stands in the way is over soon, such as a role that EC2 does not know yet, it tries
    again, for up to `READY_WITHIN_S` seconds.

    Args:
        fleet: The web tier's fleet of one slot.
        sleep: Waits that many seconds.
        clock: Gives seconds, of any origin.

    Raises:
        NotProvisionedError: There is nothing to launch it from.
        IraasError: It cannot be launched.
    """
    there = fleet.instances()
    if there:
        return Launch(tuple(one.instance_id for one in there))
    deadline = clock() + READY_WITHIN_S
    while True:
        launch = fleet.launch(1)
        pause_s = fleet.soon_s()
        if launch.launched or pause_s is None or clock() >= deadline:
            return launch
        sleep(pause_s)
