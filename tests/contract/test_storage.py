"""The contract of `iraas.core.ports.Storage`: the space that images take."""

import pytest

from iraas.core.ports import StorageUsage
from tests.contract.conftest import Rig

MOST_SMALL_BYTES = 100_000
"""Bytes that whole blocks and an empty queue may add to the stored ones."""


def used(rig: Rig) -> int:
    count = rig.rival.storage.usage().used_bytes
    if count is None:
        pytest.skip("this backend declares that it does not count")
    return count


def test_bytes_stored_by_one_process_count_in_another(rig: Rig) -> None:
    before = used(rig)
    rig.backend.inputs.put_if_absent([("job/00000/1.jpg", b"x" * 500_000)])
    rig.backend.inputs.put("job/00000/2.jpg", b"x" * 500_000)
    assert 1_000_000 <= used(rig) - before <= 1_000_000 + MOST_SMALL_BYTES


def test_existing_or_replaced_objects_are_not_counted_twice(rig: Rig) -> None:
    before = used(rig)
    for _ in range(3):
        rig.backend.inputs.put_if_absent([("job/00000/1.jpg", b"x" * 500_000)])
        rig.backend.inputs.put("job/00000/2.jpg", b"x" * 500_000)
    assert used(rig) - before <= 1_000_000 + MOST_SMALL_BYTES
    rig.backend.inputs.put("job/00000/2.jpg", b"x")
    assert used(rig) - before <= 500_000 + MOST_SMALL_BYTES


def test_deleted_objects_no_longer_count(rig: Rig) -> None:
    before = used(rig)
    keys = [f"job/00000/{number}.jpg" for number in range(5)]
    rig.backend.inputs.put_if_absent([(key, b"x" * 100_000) for key in keys])
    for _ in range(2):
        rig.rival.inputs.delete([*keys, "job/none.jpg"])
    assert 0 <= used(rig) - before <= MOST_SMALL_BYTES


def test_a_recount_matches_the_stored_bytes(rig: Rig) -> None:
    before = used(rig)
    rig.backend.inputs.put_if_absent([("job/00000/1.jpg", b"x" * 500_000)])
    rig.rival.storage.recount()
    assert 500_000 <= used(rig) - before <= 500_000 + MOST_SMALL_BYTES


def test_a_backend_counts_or_says_that_it_does_not(rig: Rig) -> None:
    rig.backend.storage.recount()
    usage = rig.backend.storage.usage()
    assert usage.used_bytes is not None or usage == StorageUsage(None, None, None)
