"""Sending a whole job: in the background, never too far ahead of its outcomes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iraas.client.job_sender import JobSender
from iraas.client.outcome_ledger import OutcomeLedger
from iraas.client.sender import Sender
from iraas.core.ids import split_request_id
from iraas.core.jobs import Job, ManifestEntry
from iraas.core.keys import input_key
from iraas.core.messages import decode_request
from iraas.errors import BackendUnavailableError
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import JOB, receive, request, stored
from tests.fakes.scripted_classifier import image_bytes
from tests.waiting import PATIENCE_S, wait_until

TOTAL = 40


@pytest.fixture
def entries(tmp_path: Path) -> list[ManifestEntry]:
    made = []
    for index in range(TOTAL):
        path = tmp_path / f"image-{index}.jpg"
        path.write_bytes(image_bytes(f"label-{index}"))
        made.append(ManifestEntry(index, path.name, str(path)))
    return made


Make = Callable[..., JobSender]


@pytest.fixture
def ledger() -> OutcomeLedger:
    return OutcomeLedger(TOTAL)


@pytest.fixture
def make(backend: FlakyBackend, clock: Clock, ledger: OutcomeLedger) -> Iterator[Make]:
    made: list[JobSender] = []

    def build(window: int = 1000, max_image_bytes: int = 10**6) -> JobSender:
        job = Job(JOB, 1.0, TOTAL, sealed=True)
        sender = Sender(backend, job, reply_to="", clock=clock)
        made.append(
            JobSender(backend, sender, ledger, window=window, max_image_bytes=max_image_bytes)
        )
        return made[-1]

    yield build
    for one in made:
        one.stop()
        one.join(PATIENCE_S)


def on_queue(backend: FlakyBackend) -> list[int]:
    """Receive the waiting requests; return their indexes in the job."""
    indexes = []
    while messages := backend.requests.receive(10, lease_s=30.0):
        indexes += [split_request_id(decode_request(one.body).request_id)[1] for one in messages]
        backend.requests.delete([one.receipt for one in messages])
    return indexes


def test_every_image_is_sent_once(
    backend: FlakyBackend, make: Make, entries: list[ManifestEntry]
) -> None:
    sender = make()
    sender.start(entries)
    sender.join(PATIENCE_S)
    assert not sender.is_sending
    assert on_queue(backend) == list(range(TOTAL))
    assert sender.outstanding == TOTAL


def test_completed_images_are_not_sent(
    backend: FlakyBackend, make: Make, entries: list[ManifestEntry], ledger: OutcomeLedger
) -> None:
    for index in range(0, TOTAL, 2):
        ledger.mark(index)
    sender = make()
    sender.start(entries)
    sender.join(PATIENCE_S)
    assert on_queue(backend) == list(range(1, TOTAL, 2))


@pytest.mark.parametrize("window", [1, 5, 16, 20])
def test_no_more_are_outstanding_than_the_window(
    window: int,
    backend: FlakyBackend,
    make: Make,
    entries: list[ManifestEntry],
    ledger: OutcomeLedger,
) -> None:
    sender = make(window=window)
    sender.start(entries)
    done: list[int] = []
    while len(done) < TOTAL:
        wait_until(lambda: backend.requests.depth().visible, "a request")
        assert backend.requests.depth().total <= sender.outstanding <= window
        (message,) = receive(backend)
        backend.requests.delete([message.receipt])
        index = split_request_id(decode_request(message.body).request_id)[1]
        done.append(index)
        ledger.mark(index)
        sender.conclude(index)
    assert done == list(range(TOTAL))
    wait_until(lambda: not sender.is_sending, "the end")
    assert sender.outstanding == 0


def test_a_stopped_sender_sends_no_more(
    backend: FlakyBackend, make: Make, entries: list[ManifestEntry]
) -> None:
    sender = make(window=5)
    sender.start(entries)
    wait_until(lambda: sender.is_waiting, "a full window")
    sender.stop()
    sender.join(PATIENCE_S)
    assert not sender.is_sending
    assert on_queue(backend) == list(range(5))


def test_images_counted_as_lost_free_the_window(
    backend: FlakyBackend, make: Make, entries: list[ManifestEntry], ledger: OutcomeLedger
) -> None:
    sender = make(window=30)
    sender.start(entries)
    wait_until(lambda: sender.is_waiting, "a full window")
    assert on_queue(backend) == list(range(16))
    sender.forget_sent()
    sender.join(PATIENCE_S)
    assert on_queue(backend) == list(range(16, TOTAL))
    assert sender.outstanding == TOTAL - 16
    ledger.mark(0)
    sender.conclude(0)
    assert sender.outstanding == TOTAL - 16


def test_unreadable_files_are_refused_with_a_stored_outcome(
    backend: FlakyBackend, make: Make, entries: list[ManifestEntry]
) -> None:
    Path(entries[3].path).unlink()
    Path(entries[5].path).write_bytes(b"hello")
    Path(entries[7].path).write_bytes(b"")
    sender = make()
    sender.start(entries)
    sender.join(PATIENCE_S)
    refused = {split_request_id(one.request_id)[1]: one.reason for one in sender.take_refused()}
    assert refused == {
        3: "it cannot be read: No such file or directory (ENOENT)",
        5: "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF image",
        7: "the file is empty",
    }
    assert stored(backend, 3).reason == refused[3]
    assert sender.take_refused() == []
    assert on_queue(backend) == [index for index in range(TOTAL) if index not in {3, 5, 7}]
    assert sender.outstanding == TOTAL - 3


def test_a_file_that_vanished_is_taken_from_the_input_store(
    backend: FlakyBackend, make: Make, entries: list[ManifestEntry]
) -> None:
    Path(entries[3].path).unlink()
    key = input_key(request(3).request_id, "jpg")
    backend.inputs.put(key, image_bytes("label-3"))
    sender = make()
    sender.start(entries[3:4])
    sender.join(PATIENCE_S)
    assert sender.take_refused() == []
    (message,) = receive(backend)
    assert decode_request(message.body).input_key == key


def test_an_entry_without_a_path_is_taken_from_the_input_store(
    backend: FlakyBackend, make: Make
) -> None:
    backend.inputs.put(input_key(request(0).request_id, "png"), b"x")
    sender = make()
    sender.start([ManifestEntry(0, "upload.png"), ManifestEntry(1, "never-uploaded.png")])
    sender.join(PATIENCE_S)
    assert on_queue(backend) == [0]
    assert [one.name for one in sender.take_refused()] == ["never-uploaded.png"]


def test_a_failure_to_send_is_raised_to_the_caller(
    backend: FlakyBackend, make: Make, entries: list[ManifestEntry]
) -> None:
    backend.requests.failures = 1
    sender = make()
    sender.start(entries)
    sender.join(PATIENCE_S)
    with pytest.raises(BackendUnavailableError):
        sender.take_refused()


def test_sending_all_reports_its_progress(
    backend: FlakyBackend, make: Make, entries: list[ManifestEntry]
) -> None:
    counts: list[int] = []
    make().send_all(entries, counts.append)
    assert counts == [16, 16, 8]
    assert on_queue(backend) == list(range(TOTAL))


def test_large_images_travel_in_smaller_batches(make: Make, entries: list[ManifestEntry]) -> None:
    for entry in entries[:8]:
        Path(entry.path).write_bytes(image_bytes("x" * 1_200_000))
    counts: list[int] = []
    make(max_image_bytes=2 * 10**6).send_all(entries[:12], counts.append)
    assert counts[0] < 12
    assert sum(counts) == 12
