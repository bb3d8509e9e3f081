"""The launch options of a role, made anew when the deployment has been provisioned anew."""

import threading
from collections.abc import Callable

from iraas.backends.aws.fleet.config import FleetConfig
from iraas.backends.aws.fleet.launch_candidates import (
    LaunchCandidates,
    LaunchOption,
    launch_options,
)


def worker_launches(options: FleetConfig) -> tuple[LaunchOption, ...]:
    """What may be launched as a worker, in the order in which it is tried."""
    return launch_options(options.kinds, options.subnet_ids, options.pricings)


def web_launches(options: FleetConfig) -> tuple[LaunchOption, ...]:
    """What may be launched as the web tier: never on Spot."""
    return launch_options([options.web_kind], options.subnet_ids, ["on-demand"])


class CurrentLaunchOptions:
    """Gives the launch options; the same object, which knows what rests, until they change.

    Safe to use from several threads.
    """

    def __init__(
        self,
        kept: Callable[[], FleetConfig],
        launches: Callable[[FleetConfig], tuple[LaunchOption, ...]],
        clock: Callable[[], float],
    ) -> None:
        """Make no call yet.

        Args:
            kept: Gives what the deployment is provisioned with.
            launches: Gives what may be launched then.
            clock: Gives seconds since the epoch.
        """
        self._kept = kept
        self._launches = launches
        self._clock = clock
        self._made_of: FleetConfig | None = None
        self._made: LaunchCandidates | None = None
        self._lock = threading.Lock()

    def __call__(self) -> LaunchCandidates:
        """The launch options.

        Raises:
            NotProvisionedError: There are none.
            BackendError: They could not be read.
        """
        with self._lock:
            kept = self._kept()
            if self._made is None or kept != self._made_of:
                launches = self._launches(kept)
                self._made = LaunchCandidates(launches, self._clock, most=kept.capacity)
                self._made_of = kept
            return self._made
