"""What a check found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What was looked at.
        ok: Whether it is as it should be. None if it could not be looked at.
        text: What was found.
        remedy: What to do; empty if nothing needs to be done.
    """

    subject: str
    ok: bool | None
    text: str
    remedy: str = ""
