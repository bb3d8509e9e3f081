"""A controller that prints its decisions on stderr."""

import sys
from datetime import datetime

from iraas.cli.output.pluralize import pluralize
from iraas.controller.controller import Controller
from iraas.core.control_chars import escape_control_chars
from iraas.core.records import ScalingDecision


class VerboseController(Controller):
    """Prints a line for each decision that differs from the last one."""

    _printed = ""

    def tick(self) -> ScalingDecision | None:
        """Observe, decide and act once; see the base."""
        decision = super().tick()
        text = "another controller is active; this one is on standby"
        gist = text
        if decision is not None:
            text = describe(decision)
            gist = f"{decision.wanted} {decision.launched} {sorted(decision.removed)}"
        if gist != self._printed:
            self._printed = gist
            _print(text)
        return decision


def describe(decision: ScalingDecision) -> str:
    """A decision and its reason, in a line."""
    launched = f", {decision.launched} launched" if decision.launched else ""
    removed = f", {len(decision.removed)} removed" if decision.removed else ""
    return f"{pluralize(decision.wanted, 'worker')} wanted{launched}{removed}: {decision.reason}"


def _print(text: str) -> None:
    sys.stderr.write(f"{datetime.now().astimezone():%H:%M:%S} {escape_control_chars(text)}\n")
    sys.stderr.flush()
