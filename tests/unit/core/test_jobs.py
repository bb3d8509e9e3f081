"""Jobs and their manifests: round trips, odd file names, corrupt records."""

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.ids import MAX_JOB_SIZE
from iraas.core.jobs import Job, ManifestEntry, decode_job, decode_page, encode_page, sanitize_name
from iraas.core.messages import MAX_NAME_CHARACTERS
from iraas.errors import MessageError
from tests.unit.core.strategies import any_texts, indexes, job_ids, json_values, names, times

file_names = st.binary().map(os.fsdecode)
"""Any bytes that a file may be called by, as Python shows them: lone surrogates included."""

jobs = st.builds(
    Job,
    job_id=job_ids,
    created_at=times,
    total=st.integers(0, MAX_JOB_SIZE),
    sealed=st.booleans(),
    sources=st.lists(file_names).map(tuple),
    cancelled=st.booleans(),
)
JOB = Job("01kb3v9x4q0000000000000000", 1.5, 20, sealed=True, sources=("images",))


@given(jobs)
def test_a_jobs_record_is_read_back_equal(job: Job) -> None:
    assert decode_job(job.encode()) == job


@given(st.lists(st.builds(ManifestEntry, indexes, names, file_names), min_size=1, max_size=20))
def test_a_manifest_page_is_read_back_equal(entries: list[ManifestEntry]) -> None:
    data = encode_page(entries)
    assert data.isascii()
    assert list(decode_page(data)) == entries


def test_an_undecodable_path_survives_a_round_trip() -> None:
    path = os.fsdecode(b"/images/caf\xe9\n.jpg")
    (entry,) = decode_page(encode_page([ManifestEntry(0, sanitize_name(path), path)]))
    assert os.fsencode(entry.path) == b"/images/caf\xe9\n.jpg"


def test_a_page_has_an_entry_a_line() -> None:
    page = encode_page([ManifestEntry(0, "a\nb", "/a\nb"), ManifestEntry(1, "c", "/c")])
    assert page == b'[0, "a\\nb", "/a\\nb"]\n[1, "c", "/c"]\n'


@given(any_texts)
def test_a_cleaned_name_can_be_stored_and_is_not_too_long(text: str) -> None:
    name = sanitize_name(text)
    name.encode()
    assert len(name) == min(len(text), MAX_NAME_CHARACTERS)
    assert sanitize_name(name) == name


@given(names)
def test_a_name_that_can_be_stored_stays_as_it_is(name: str) -> None:
    assert sanitize_name(name) == name


def test_bytes_that_are_no_text_are_replaced_one_by_one() -> None:
    assert sanitize_name(os.fsdecode(b"caf\xe9-\xff.jpg")) == "caf\ufffd-\ufffd.jpg"


def test_of_a_long_name_the_end_stays() -> None:
    assert sanitize_name("x" * 5000 + "/cat.jpg").endswith("/cat.jpg")


@pytest.mark.parametrize(
    "changes",
    [
        {"job_id": None},
        {"created_at": "now"},
        {"created_at": 10**400},
        {"total": -1},
        {"total": MAX_JOB_SIZE + 1},
        {"total": 1.5},
        {"total": True},
        {"sealed": "yes"},
        {"sources": "images"},
        {"sources": [1]},
        {"sources": None},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_job_with_a_wrong_field_is_a_message_error(changes: dict[str, Any]) -> None:
    value = json.loads(JOB.encode()) | changes
    with pytest.raises(MessageError):
        decode_job(json.dumps(value).encode())


def test_a_field_of_a_later_version_is_ignored() -> None:
    value = json.loads(JOB.encode()) | {"priority": 7}
    assert decode_job(json.dumps(value).encode()) == JOB


@given(json_values)
def test_no_json_is_more_than_a_message_error(value: object) -> None:
    line = json.dumps(value).encode()
    with pytest.raises(MessageError):
        decode_job(line)
    with pytest.raises(MessageError):
        list(decode_page(line))


@pytest.mark.parametrize(
    "page",
    [
        b"[",
        b"[0]",
        b'[0, "a"]',
        b'["0", "a", "b"]',
        b'[-1, "a", "b"]',
        b'[1e999, "a", "b"]',
        b'[NaN, "a", "b"]',
        b'[100000000, "a", "b"]',
        b'[0, 1, "b"]',
        b'[0, "a", null]',
        b'{"0": 1, "1": 2, "2": 3}',
        b"\xff",
        b"[" * 200_000,
        b'[0, "a", "b"]\n\n',
    ],
    ids=lambda page: str(page[:20]),
)
def test_a_corrupt_page_is_a_message_error(page: bytes) -> None:
    with pytest.raises(MessageError):
        list(decode_page(page))


def test_a_manifest_keeps_the_folder_that_an_image_must_lie_in() -> None:
    entries = [ManifestEntry(0, "a", "/x/a", "/x"), ManifestEntry(1, "b", "/y/b")]
    assert list(decode_page(encode_page(entries))) == entries
    assert encode_page(entries[1:]) == b'[1, "b", "/y/b"]\n'
