"""A controller that tells a person what it decides, on stderr."""

import sys
from datetime import datetime

from iraas.cli.output.pluralize import pluralize
from iraas.controller.controller import Controller
from iraas.core.control_chars import escape_control_chars
from iraas.core.records import ScalingDecision


class TellingController(Controller):
    """Tells each decision that differs from the last one in a line."""

    _told = ""

    def tick(self) -> ScalingDecision | None:
        """Observe, decide and act once; see the base."""
        decision = super().tick()
        text = "another controller is at work; this one stands by"
        gist = text
        if decision is not None:
            text = in_words(decision)
            gist = f"{decision.wanted} {decision.launched} {sorted(decision.removed)}"
        if gist != self._told:
            self._told = gist
            _say(text)
        return decision


def in_words(decision: ScalingDecision) -> str:
    """What was decided and why, in a line."""
    launched = f", {decision.launched} launched" if decision.launched else ""
    removed = f", {len(decision.removed)} removed" if decision.removed else ""
    return f"{pluralize(decision.wanted, 'worker')} wanted{launched}{removed}: {decision.reason}"


def _say(text: str) -> None:
    sys.stderr.write(f"{datetime.now().astimezone():%H:%M:%S} {escape_control_chars(text)}\n")
    sys.stderr.flush()
