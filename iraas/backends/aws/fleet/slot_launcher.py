"""Launching into a slot: claim it in the ledger, ask EC2, write down what came of it."""

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from iraas.backends.aws.errors import translate
from iraas.backends.aws.fleet.ec2_instances import Ec2Client
from iraas.backends.aws.fleet.ec2_launch import (
    LATEST_EFFECT_S,
    SEND_WITHIN_S,
    Answer,
    Launched,
    Rejected,
    Unconfirmed,
    launch_request,
    send_launch,
)
from iraas.backends.aws.fleet.fleet_snapshot import UNLISTED_GONE_S, FleetSnapshot
from iraas.backends.aws.fleet.launch_candidates import LaunchCandidates, LaunchOption
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger, SlotEntry
from iraas.backends.aws.names import Names
from iraas.errors import BackendError, IraasError

RESEND_AFTER_S = 60.0
MAX_SENDS = 3
"""A launch without an answer is sent again, under its token, by whoever finds it a minute later;
twice at most, so that the time by which it must have shown itself is bounded."""

MAX_TRIES_A_SLOT = 12

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Filled:
    """What came of filling one slot.

    Attributes:
        instance_id: The instance that is on its way; empty if there is none.
        unanswered: The launch may have happened; the slot is kept until that is known.
        error: Why no launch can succeed for now, other than for want of capacity.
    """

    instance_id: str = ""
    unanswered: bool = False
    error: IraasError | None = None


class SlotLauncher:
    """Fills the slots of one role. Safe to use from several threads and processes at once."""

    def __init__(
        self,
        client: Ec2Client,
        ledger: LaunchLedger,
        names: Names,
        options: Callable[[], LaunchCandidates],
        *,
        role: str,
        template: str,
        holder: str = "",
        clock: Callable[[], float] = time.time,
        random_word: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        """Make a launcher; makes no call yet.

        Args:
            client: An EC2 client that sends each request once and has `guard_launches`.
            ledger: The ledger of this role.
            names: The deployment's names.
            options: Gives what to launch, in order.
            role: The instances' role tag.
            template: The launch template's name.
            holder: Who this is, in the ledger, for people.
            clock: Gives seconds since the epoch.
            random_word: Gives a word for the first launch of all.
        """
        self._client = client
        self._ledger = ledger
        self._names = names
        self._options = options
        self._role = role
        self._template = template
        self._holder = holder
        self._clock = clock
        self._random_word = random_word
        self._epoch = ""

    def settle(self, view: FleetSnapshot) -> None:
        """Write down what has become clear since: who is where, and what is over. Changes the
        view accordingly.
        """
        for slot, entry in list(view.entries.items()):
            changed = _settled(entry, view)
            if changed is not None:
                written = self._append(changed, view.read_at)
                # Lost to another controller: what it wrote is not known, so the slot stays closed.
                view.entries[slot] = written or replace(entry, state="unreadable")

    def should_resend(self, entry: SlotEntry) -> bool:
        """Whether a launch has been without an answer for long enough to ask once more."""
        waited_s = self._clock() - entry.at
        return entry.state == "launching" and waited_s > RESEND_AFTER_S and entry.sends < MAX_SENDS

    def fill(self, slot: int, previous: SlotEntry | None, read_at: float) -> Filled:
        """Launch into a free slot, trying one option after the other until one is taken.

        Args:
            slot: The slot.
            previous: Its last entry, which is ``ended``, or None.
            read_at: When that was read, in seconds since the epoch.

        Raises:
            BackendError: The ledger failed; the slot may be claimed.
        """
        claimed: SlotEntry | None = None
        why = ""
        for _ in range(MAX_TRIES_A_SLOT):
            option = self._options().pick(slot)
            if option is None:
                break
            entry = self._append(self._claim(slot, previous, option, why), read_at)
            if entry is None:
                return Filled()
            claimed = previous = entry
            read_at = entry.at
            answer = self._send(entry)
            if not isinstance(answer, Rejected):
                return self._note(entry, answer)
            why = answer.code
            if answer.error is not None:
                error = translate(answer.error, "ec2", f"a launch of {option}")
                self._options().refused(option, why, str(error))
                self._end(entry, why)
                return Filled(error=error)
            self._options().refused(option, why)
            _log.info("the launch of %s was refused: %s", option, why)
        if claimed is not None:
            self._end(claimed, why)
        return Filled()

    def resend(self, entry: SlotEntry, read_at: float) -> Filled:
        """Ask again under the same token: if it happened, EC2 names the instance.

        A refusal proves nothing here, since the first request may still be on its way.

        Raises:
            BackendError: The ledger failed.
        """
        again = self._append(replace(entry, sends=entry.sends + 1), read_at)
        if again is None:
            return Filled()
        return self._note(again, self._send(again))

    def _send(self, entry: SlotEntry) -> Answer:
        request = launch_request(self._names, self._role, self._template, entry)
        before = entry.at + SEND_WITHIN_S
        return send_launch(self._client, request, before=before, clock=self._clock)

    def _note(self, entry: SlotEntry, answer: Answer) -> Filled:
        if isinstance(answer, Launched):
            self._options().accepted(entry.option)
            known = replace(entry, state="occupied", instance_id=answer.instance_id)
            with suppress(BackendError):  # not written, it is found by its token later
                self._append(known, entry.at)
            return Filled(answer.instance_id)
        why = answer.why if isinstance(answer, Unconfirmed) else answer.code
        _log.warning("the launch in slot %d has no answer: %s", entry.slot, why)
        return Filled(unanswered=True)

    def _claim(
        self, slot: int, previous: SlotEntry | None, option: LaunchOption, why: str
    ) -> SlotEntry:
        self._epoch = self._epoch or self._ledger.epoch(self._random_word())
        generation = previous.generation + 1 if previous else 1
        return SlotEntry(
            slot=slot,
            sequence=previous.sequence if previous else 0,
            state="launching",
            generation=generation,
            at=0.0,
            by="",
            token=f"{self._names.deployment}-{self._role}-{self._epoch}-{slot}-{generation}",
            option=option,
            reason=f"refused before: {why}" if why else "",
        )

    def _append(self, entry: SlotEntry, read_at: float) -> SlotEntry | None:
        """Write what follows the entry that this one was made from; None if somebody was faster,
        or if that entry was read too long ago.
        """
        now = self._clock()
        if now - read_at > SEND_WITHIN_S:
            return None
        following = replace(entry, sequence=entry.sequence + 1, at=now, by=self._holder)
        return following if self._ledger.append(following) else None

    def _end(self, entry: SlotEntry, reason: str) -> None:
        with suppress(BackendError):  # not written, it ends when it must have shown itself
            self._append(replace(entry, state="ended", reason=reason), entry.at)


def _settled(entry: SlotEntry, view: FleetSnapshot) -> SlotEntry | None:
    """What a slot's next entry should say, if there is something new to say."""
    found = view.instance_of(entry)
    age_s = view.read_at - entry.at
    if entry.state == "launching" and found is not None:
        return replace(entry, state="occupied", instance_id=found.instance_id)
    if entry.state == "launching" and age_s > LATEST_EFFECT_S:
        return replace(entry, state="ended", reason="no instance came of it")
    if entry.state == "occupied" and found is not None and not found.live:
        return replace(entry, state="ended", reason="the instance is terminated")
    if entry.state == "occupied" and found is None and age_s > UNLISTED_GONE_S:
        return replace(entry, state="ended", reason="EC2 knows the instance no more")
    return None
