"""Launching the web tier's one instance, in an account that may be minutes old."""

import time
from collections.abc import Callable

from iraas.backends.aws.fleet.ec2_fleet import Ec2Fleet
from iraas.core.ports import Launch

READY_WITHIN_S = 120.0
"""A role that was made just now is known everywhere within seconds, mostly: IAM is eventually
consistent, and gives no bound
(https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html)."""


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
