"""Refusing images while there is no space for them."""

import threading

import pytest

from iraas.client.storage_guard import FRESH_S, StorageGuard, StorageLimits
from iraas.core.ports import StorageUsage
from iraas.errors import BackendUnavailableError, StorageFullError

GB = 10**9


class Disk:
    """A disk that tests fill. Counts its queries."""

    def __init__(self, free_bytes: int | None = None, used_bytes: int | None = None) -> None:
        self.free_bytes = free_bytes
        self.used_bytes = used_bytes
        self.asked = 0
        self.now = 1000.0

    def usage(self) -> StorageUsage:
        self.asked += 1
        return StorageUsage(self.used_bytes, self.free_bytes, 100 * GB)

    def recount(self) -> None:
        """Do nothing: there is no count."""


def storage_guard(
    disk: Disk, min_free_bytes: int | None = None, max_stored_bytes: int = 0
) -> StorageGuard:
    limits = StorageLimits(min_free_bytes=min_free_bytes, max_stored_bytes=max_stored_bytes)
    return StorageGuard(disk, limits, lambda: disk.now)


def test_images_come_in_while_the_disk_has_more_than_the_floor() -> None:
    guard = storage_guard(Disk(free_bytes=2 * GB))
    guard.check()
    guard.check(GB)
    with pytest.raises(StorageFullError, match=r"2\.0 GB left.*1\.0 GB more.*1\.0 GB must stay"):
        guard.check(GB + 1)


@pytest.mark.parametrize(
    ("total_bytes", "floor"), [(100 * GB, GB), (10 * GB, 200_000_000), (None, GB)]
)
def test_the_usual_floor_is_a_gigabyte_or_a_share_of_a_small_disk(
    total_bytes: int | None, floor: int
) -> None:
    assert StorageLimits().floor_bytes(total_bytes) == floor
    assert StorageLimits(min_free_bytes=7).floor_bytes(total_bytes) == 7


def test_no_floor_is_a_choice() -> None:
    storage_guard(Disk(free_bytes=0), min_free_bytes=0).check(GB)


def test_images_come_in_until_the_quota_is_used_up() -> None:
    guard = storage_guard(Disk(used_bytes=90), max_stored_bytes=100)
    guard.check()
    guard.check(9)
    with pytest.raises(StorageFullError, match=r"take 90 bytes already.*the quota is 100 bytes"):
        guard.check(10)


def test_a_full_quota_lets_nothing_in_even_of_unknown_size() -> None:
    with pytest.raises(StorageFullError):
        storage_guard(Disk(used_bytes=100), max_stored_bytes=100).check()


def test_admitted_bytes_count_before_the_disk_is_asked_again() -> None:
    guard = storage_guard(Disk(used_bytes=10), max_stored_bytes=100)
    guard.take(60)
    with pytest.raises(StorageFullError, match=r"take 70 bytes already"):
        guard.take(30)


def test_pending_bytes_count_before_the_disk_is_asked_again() -> None:
    disk = Disk(free_bytes=2 * GB, used_bytes=0)
    guard = storage_guard(disk)
    guard.take(600_000_000)
    with pytest.raises(StorageFullError):
        guard.take(600_000_000)
    assert disk.asked == 1


def test_space_that_was_freed_is_seen_after_a_moment() -> None:
    disk = Disk(free_bytes=0)
    guard = storage_guard(disk)
    with pytest.raises(StorageFullError):
        guard.check()
    disk.free_bytes = 2 * GB
    disk.now += FRESH_S + 0.1
    guard.check()


def test_the_disk_is_asked_twice_a_second_at_most() -> None:
    disk = Disk(free_bytes=2 * GB)
    guard = storage_guard(disk)
    for _ in range(1000):
        guard.take(1)
    assert disk.asked == 1


def test_a_backend_without_usage_refuses_nothing() -> None:
    storage_guard(Disk(), max_stored_bytes=1).take(GB)


def test_concurrent_reservations_do_not_exceed_the_quota() -> None:
    guard = storage_guard(Disk(used_bytes=0), max_stored_bytes=1001)
    taken = []

    def take() -> None:
        for _ in range(100):
            try:
                guard.take(10)
            except StorageFullError:
                return
            taken.append(10)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(taken) == 1000


def test_a_full_disk_is_a_temporary_error() -> None:
    assert issubclass(StorageFullError, BackendUnavailableError)
