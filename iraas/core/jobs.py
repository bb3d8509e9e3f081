"""A job: what was sent together, and the manifest that lists its images.

The manifest is written before the first request is sent. From then on the job is fully defined,
and whoever was interrupted can send what is still missing, and nothing else.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from iraas.core.ids import MAX_JOB_SIZE
from iraas.core.json_record import read_record
from iraas.core.messages import MAX_NAME_CHARACTERS
from iraas.errors import MessageError

_SURROGATES = re.compile("[\ud800-\udfff]")
PAGE_SIZE = 1000
"""Images on one page of a manifest."""

SHARED_SOURCE = "single requests"
"""The source of the jobs that single requests share."""


@dataclass(frozen=True, slots=True)
class Job:
    """The requests that were sent together.

    Attributes:
        job_id: A ULID: sorts by time, cannot be guessed.
        created_at: Seconds since the epoch.
        total: How many images the manifest lists by now.
        sealed: True once the manifest is complete.
        sources: What the requester named: paths as typed, or ``upload``.
        cancelled: True once nobody wants the rest of it.
    """

    job_id: str
    created_at: float
    total: int
    sealed: bool
    sources: tuple[str, ...] = ()
    cancelled: bool = False

    def encode(self) -> bytes:
        """The job as JSON, for the records."""
        return json.dumps(asdict(self), indent=1).encode()


def decode_job(data: bytes) -> Job:
    """Read a job's record.

    Raises:
        MessageError: If it is not one.
    """
    job = read_record(data, Job)
    if not 0 <= job.total <= MAX_JOB_SIZE:
        raise MessageError(f"a job's record is mangled: it cannot have {job.total} images")
    return job


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image on the requester's machine.

    Attributes:
        name: Its name for people.
        path: Where it is.
        folder: The folder, without links in its path, that it must lie in when it is read; empty if
            whoever named it may name any.
    """

    name: str
    path: str
    folder: str = ""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One image of a job.

    Attributes:
        index: Its place in the job, from zero.
        name: What people call it.
        path: Where the requester's machine has it; empty if it came another way (an upload, which
            is in the input store).
        folder: The folder that it must lie in when it is read; empty for any.
    """

    index: int
    name: str
    path: str = ""
    folder: str = ""


def encode_page(entries: list[ManifestEntry]) -> bytes:
    """Write a page of a manifest: one JSON array a line, in ASCII."""
    lines = (
        json.dumps([one.index, one.name, one.path, *([one.folder] if one.folder else [])])
        for one in entries
    )
    return ("\n".join(lines) + "\n").encode()


def decode_page(data: bytes) -> Iterator[ManifestEntry]:
    """Read a page of a manifest.

    Raises:
        MessageError: If it is not one.
    """
    try:
        for line in data.splitlines():
            yield _entry(*json.loads(line))
    except (ValueError, TypeError, RecursionError) as exc:
        raise MessageError(f"a job's manifest is mangled: {exc}") from exc


def _entry(index: Any, name: Any, path: Any, folder: Any = "") -> ManifestEntry:
    texts = (name, path, folder)
    if not (isinstance(index, int) and all(isinstance(text, str) for text in texts)):
        raise TypeError("a field has a wrong type")
    if not 0 <= index < MAX_JOB_SIZE:
        raise ValueError("an index is out of range")
    return ManifestEntry(index, sanitize_name(name), path, folder)


def sanitize_name(text: str) -> str:
    """Make any text a picture's name: what cannot be stored is replaced, what is too long is cut.

    File names may hold bytes that are no text (Python shows them as lone surrogates): each becomes
    U+FFFD. Everything else stays, so whoever shows a name escapes it for the medium.
    """
    return _SURROGATES.sub("\ufffd", text)[-MAX_NAME_CHARACTERS:]
