"""Launching into a slot: claim it in the ledger, call EC2, record the result."""

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from iraas.backends.aws.errors import to_iraas_error
from iraas.backends.aws.fleet.ec2_instances import Ec2Client
from iraas.backends.aws.fleet.ec2_launch import (
    LATEST_EFFECT_S,
    SEND_WITHIN_S,
    Launched,
    LaunchResult,
    Rejected,
    Unconfirmed,
    launch_request,
    send_launch,
)
from iraas.backends.aws.fleet.fleet_snapshot import UNLISTED_GONE_S, FleetSnapshot
from iraas.backends.aws.fleet.launch_candidates import LaunchCandidate, LaunchCandidates
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger, SlotEntry
from iraas.backends.aws.names import Names
from iraas.errors import BackendError, IraasError

RESEND_AFTER_S = 60.0
MAX_SENDS = 3
"""An unconfirmed launch is resent under its token by any controller a minute later, at most twice,
so that the time until it must become visible is bounded."""

MAX_ATTEMPTS_PER_SLOT = 12

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FillResult:
    """Result of filling one slot.

    Attributes:
        instance_id: The launched instance; empty if there is none.
        unconfirmed: The launch may have happened; the slot stays reserved until that is known.
        error: Reason why launches fail, other than capacity.
    """

    instance_id: str = ""
    unconfirmed: bool = False
    error: IraasError | None = None


class SlotLauncher:
    """Fills the slots of one role. Safe for concurrent use by several threads and processes."""

    def __init__(
        self,
        client: Ec2Client,
        ledger: LaunchLedger,
        names: Names,
        candidates: Callable[[], LaunchCandidates],
        *,
        role: str,
        template: str,
        holder: str = "",
        clock: Callable[[], float] = time.time,
        random_token: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        """Create a launcher without calling AWS.

        Args:
            client: EC2 client that sends each request once and has `guard_launches`.
            ledger: The role's launch ledger.
            names: The deployment's resource names.
            candidates: Returns the launch candidates.
            role: The instances' role tag.
            template: The launch template's name.
            holder: This controller's id in the ledger, for display.
            clock: Seconds since the epoch.
            random_token: Returns a random word for the ledger's epoch.
        """
        self._client = client
        self._ledger = ledger
        self._names = names
        self._candidates = candidates
        self._role = role
        self._template = template
        self._holder = holder
        self._clock = clock
        self._random_token = random_token
        self._epoch = ""

    def reconcile(self, snapshot: FleetSnapshot) -> None:
        """Record in the ledger and the snapshot what the snapshot proves about launches."""
        for slot, entry in list(snapshot.entries.items()):
            changed = _reconciled(entry, snapshot)
            if changed is not None:
                written = self._append(changed, snapshot.read_at)
                # Another controller wrote an unknown entry, so the slot stays closed.
                snapshot.entries[slot] = written or replace(entry, state="unreadable")

    def should_resend(self, entry: SlotEntry) -> bool:
        """Return whether a launch has been unconfirmed long enough to be resent."""
        waited_s = self._clock() - entry.at
        return entry.state == "launching" and waited_s > RESEND_AFTER_S and entry.sends < MAX_SENDS

    def fill(self, slot: int, previous: SlotEntry | None, read_at: float) -> FillResult:
        """Launch into a free slot, trying candidates until one succeeds.

        Args:
            slot: The slot.
            previous: Its last entry, which is ``ended``, or None.
            read_at: Time at which that entry was read, in seconds since the epoch.

        Raises:
            BackendError: The ledger failed; the slot may be claimed.
        """
        claimed: SlotEntry | None = None
        reason = ""
        for _ in range(MAX_ATTEMPTS_PER_SLOT):
            candidate = self._candidates().pick(slot)
            if candidate is None:
                break
            entry = self._append(self._claim(slot, previous, candidate, reason), read_at)
            if entry is None:
                return FillResult()
            claimed = previous = entry
            read_at = entry.at
            result = self._send_request(entry)
            if not isinstance(result, Rejected):
                return self._record_result(entry, result)
            reason = result.code
            if result.error is not None:
                error = to_iraas_error(result.error, "ec2", f"a launch of {candidate}")
                self._candidates().record_rejection(candidate, reason, str(error))
                self._end(entry, reason)
                return FillResult(error=error)
            self._candidates().record_rejection(candidate, reason)
            _log.info("the launch of %s was rejected: %s", candidate, reason)
        if claimed is not None:
            self._end(claimed, reason)
        return FillResult()

    def resend(self, entry: SlotEntry, read_at: float) -> FillResult:
        """Resend a launch under its token: if it happened, EC2 returns its instance.

        A rejection proves nothing here, since the first request may still be in transit.

        Args:
            entry: The unconfirmed entry.
            read_at: Time at which it was read, in seconds since the epoch.

        Raises:
            BackendError: The ledger failed.
        """
        resent = self._append(replace(entry, sends=entry.sends + 1), read_at)
        if resent is None:
            return FillResult()
        return self._record_result(resent, self._send_request(resent))

    def _send_request(self, entry: SlotEntry) -> LaunchResult:
        request = launch_request(self._names, self._role, self._template, entry)
        deadline = entry.at + SEND_WITHIN_S
        return send_launch(self._client, request, deadline=deadline, clock=self._clock)

    def _record_result(self, entry: SlotEntry, result: LaunchResult) -> FillResult:
        if isinstance(result, Launched):
            self._candidates().record_success(entry.candidate)
            occupied = replace(entry, state="occupied", instance_id=result.instance_id)
            with suppress(BackendError):  # if unwritten, the instance is found by its token later
                self._append(occupied, entry.at)
            return FillResult(result.instance_id)
        reason = result.reason if isinstance(result, Unconfirmed) else result.code
        _log.warning("the launch in slot %d is unconfirmed: %s", entry.slot, reason)
        return FillResult(unconfirmed=True)

    def _claim(
        self, slot: int, previous: SlotEntry | None, candidate: LaunchCandidate, reason: str
    ) -> SlotEntry:
        self._epoch = self._epoch or self._ledger.epoch(self._random_token())
        generation = previous.generation + 1 if previous else 1
        return SlotEntry(
            slot=slot,
            sequence=previous.sequence if previous else 0,
            state="launching",
            generation=generation,
            at=0.0,
            by="",
            token=f"{self._names.deployment}-{self._role}-{self._epoch}-{slot}-{generation}",
            candidate=candidate,
            reason=f"rejected before: {reason}" if reason else "",
        )

    def _append(self, entry: SlotEntry, read_at: float) -> SlotEntry | None:
        """Write the successor of an entry.

        Returns:
            The written entry; None if another controller was faster or the entry was read too long
            ago.
        """
        now = self._clock()
        if now - read_at > SEND_WITHIN_S:
            return None
        following = replace(entry, sequence=entry.sequence + 1, at=now, by=self._holder)
        return following if self._ledger.append(following) else None

    def _end(self, entry: SlotEntry, reason: str) -> None:
        with suppress(BackendError):  # if unwritten, it ends after `LATEST_EFFECT_S`
            self._append(replace(entry, state="ended", reason=reason), entry.at)


def _reconciled(entry: SlotEntry, snapshot: FleetSnapshot) -> SlotEntry | None:
    """The slot's next entry, if the snapshot shows something new."""
    found = snapshot.instance_of(entry)
    age_s = snapshot.read_at - entry.at
    if entry.state == "launching" and found is not None:
        return replace(entry, state="occupied", instance_id=found.instance_id)
    if entry.state == "launching" and age_s > LATEST_EFFECT_S:
        return replace(entry, state="ended", reason="no instance was launched")
    if entry.state == "occupied" and found is not None and not found.live:
        return replace(entry, state="ended", reason="the instance is terminated")
    if entry.state == "occupied" and found is None and age_s > UNLISTED_GONE_S:
        return replace(entry, state="ended", reason="EC2 no longer knows the instance")
    return None
