"""Jobs and their manifests.

A job is the set of images sent together; its manifest lists them. The manifest is written before
the first request is sent: from then on the job is fully defined, and an interrupted submission can
be resumed with exactly the requests that are missing.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from iraas.core.ids import MAX_JOB_SIZE
from iraas.core.json_record import read_record, write_record
from iraas.core.messages import MAX_NAME_CHARACTERS
from iraas.errors import MessageError

_SURROGATES = re.compile("[\ud800-\udfff]")
PAGE_SIZE = 1000
"""The number of images on one page of a manifest."""

SHARED_SOURCE = "single requests"
"""The `Job.sources` entry of jobs shared by single requests."""


@dataclass(frozen=True, slots=True)
class Job:
    """The record of a job.

    Attributes:
        job_id: A ULID: sorts by time, cannot be guessed.
        created_at: Seconds since the epoch.
        total: The number of images in the manifest so far.
        sealed: Whether the manifest is complete.
        sources: The sources that the requester named: paths as typed, or ``upload``.
        cancelled: Whether the rest of the job was cancelled.
    """

    job_id: str
    created_at: float
    total: int
    sealed: bool
    sources: tuple[str, ...] = ()
    cancelled: bool = False

    def encode(self) -> bytes:
        """Encode the record as JSON."""
        return write_record(self, indent=1)


def decode_job(data: bytes) -> Job:
    """Decode a job's record.

    Raises:
        MessageError: The record is corrupt.
    """
    job = read_record(data, Job)
    if not 0 <= job.total <= MAX_JOB_SIZE:
        raise MessageError(f"corrupt job record: it cannot have {job.total} images")
    return job


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image on the requester's machine.

    Attributes:
        name: Its display name.
        path: Its path.
        folder: The folder, without links in its path, that must contain it when it is read; empty
            for any.
    """

    name: str
    path: str
    folder: str = ""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One image of a job.

    Attributes:
        index: Its index in the job, from zero.
        name: Its display name.
        path: Its path on the requester's machine; empty for an upload, which is in the input store.
        folder: The folder that must contain it when it is read; empty for any.
    """

    index: int
    name: str
    path: str = ""
    folder: str = ""


def encode_page(entries: list[ManifestEntry]) -> bytes:
    """Encode a page of a manifest: one JSON array per line, in ASCII."""
    lines = (
        json.dumps([entry.index, entry.name, entry.path, *([entry.folder] if entry.folder else [])])
        for entry in entries
    )
    return ("\n".join(lines) + "\n").encode()


def decode_page(data: bytes) -> Iterator[ManifestEntry]:
    """Decode a page of a manifest, lazily.

    Raises:
        MessageError: The page is corrupt.
    """
    try:
        for line in data.splitlines():
            yield _entry(*json.loads(line))
    except (ValueError, TypeError, RecursionError) as exc:
        raise MessageError(f"corrupt job manifest: {exc}") from exc


def _entry(index: Any, name: Any, path: Any, folder: Any = "") -> ManifestEntry:
    texts = (name, path, folder)
    if not (isinstance(index, int) and all(isinstance(text, str) for text in texts)):
        raise TypeError("a field has a wrong type")
    if not 0 <= index < MAX_JOB_SIZE:
        raise ValueError("an index is out of range")
    return ManifestEntry(index, sanitize_name(name), path, folder)


def sanitize_name(text: str) -> str:
    """Turn any text into a valid image name.

    Bytes of a file name that are not text (lone surrogates in Python) become U+FFFD, and only the
    last `MAX_NAME_CHARACTERS` characters are kept. Everything else is unchanged, so output must
    escape a name for its medium.
    """
    return _SURROGATES.sub("\ufffd", text)[-MAX_NAME_CHARACTERS:]
