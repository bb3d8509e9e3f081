"""Sending images, and refusing what cannot be one."""

import os
from pathlib import Path

import pytest

from iraas.client.sender import (
    SENDER,
    ImageUpload,
    Sender,
    check_image,
    read_image,
)
from iraas.core.jobs import Job, ManifestEntry
from iraas.core.keys import input_key
from iraas.core.messages import Request, decode_request
from iraas.errors import BrokenImageError, ImageTooLargeError, NotAnImageError
from iraas.jobs.store import find_input
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import JOB, REQUESTER, receive, request, stored
from tests.fakes.scripted_classifier import image_bytes

LIMIT = 1000


@pytest.fixture
def sender(backend: FlakyBackend, clock: Clock) -> Sender:
    return Sender(backend, Job(JOB, 1.0, 5, sealed=True), reply_to=REQUESTER, clock=clock)


def sent(backend: FlakyBackend) -> Request:
    (message,) = receive(backend)
    return decode_request(message.body)


def test_an_image_that_fits_travels_inside_its_message(
    backend: FlakyBackend, sender: Sender, clock: Clock
) -> None:
    sender.send([ImageUpload(3, "cat.jpg", image_bytes("cat"))])
    assert sent(backend) == Request(
        request(3).request_id, "cat.jpg", clock.now, REQUESTER, image_bytes("cat")
    )
    assert list(backend.inputs.list()) == []


def test_a_larger_one_is_put_in_the_input_store_first(clock: Clock) -> None:
    backend = FlakyBackend(clock, max_body_bytes=2000)
    sender = Sender(backend, Job(JOB, 1.0, 5, sealed=True), reply_to="", clock=clock)
    large = image_bytes("x" * 1500)
    sender.send([ImageUpload(0, "big.jpg", large), ImageUpload(1, "s.jpg", image_bytes("s"))])
    requests = {one.name: one for one in (sent(backend), sent(backend))}
    key = input_key(request(0).request_id, "jpg")
    assert requests["big.jpg"].image is None
    assert requests["big.jpg"].input_key == key
    assert backend.inputs.get(key) == large
    assert requests["s.jpg"].image == image_bytes("s")


def test_sending_twice_makes_the_same_request_twice(backend: FlakyBackend, sender: Sender) -> None:
    image = ImageUpload(0, "cat.jpg", image_bytes("cat"))
    sender.send([image])
    sender.send([image])
    assert sent(backend) == sent(backend)


def test_a_stored_image_is_sent_by_its_key(backend: FlakyBackend, sender: Sender) -> None:
    sender.send_stored(ManifestEntry(2, "cat.jpg"), "a/b.jpg")
    assert sent(backend).input_key == "a/b.jpg"


def test_a_refused_image_has_its_failure_outcome_at_once(
    backend: FlakyBackend, sender: Sender, clock: Clock
) -> None:
    refused = sender.refuse(ManifestEntry(1, "x.jpg"), NotAnImageError("the file is empty"))
    assert stored(backend, 1) == refused
    assert (
        refused.status,
        refused.reason,
        refused.worker,
        refused.attempts,
    ) == (
        "failed",
        "the file is empty",
        SENDER,
        0,
    )
    assert refused.completed_at == clock.now


def test_a_second_refusal_gives_the_first_outcome(sender: Sender) -> None:
    first = sender.refuse(ManifestEntry(1, "x.jpg"), NotAnImageError("the file is empty"))
    again = sender.refuse(ManifestEntry(1, "x.jpg"), BrokenImageError("another reason"))
    assert again == first


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", NotAnImageError),
        (b"hello", NotAnImageError),
        (b"\x00" * 50, NotAnImageError),
        (image_bytes("x" * LIMIT), ImageTooLargeError),
    ],
)
def test_files_that_cannot_be_images_are_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_image(data, LIMIT)


def test_files_that_may_be_images_pass() -> None:
    check_image(image_bytes("cat"), LIMIT)


def test_a_file_is_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(image_bytes("cat"))
    assert read_image(str(path), LIMIT) == image_bytes("cat")


def test_a_file_too_large_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(ImageTooLargeError, match=r"1,000,000,000,000 bytes, more than the 1,000 "):
        read_image(str(path), LIMIT)


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.jpg"
    os.mkfifo(path)
    with pytest.raises(NotAnImageError, match="not a regular file"):
        read_image(str(path), LIMIT)


@pytest.mark.parametrize("path", ["/dev/zero", "/"])
def test_a_device_or_a_folder_is_refused(path: str) -> None:
    with pytest.raises((NotAnImageError, BrokenImageError)):
        read_image(path, LIMIT)


@pytest.mark.parametrize("name", ["gone.jpg", "a\x00b.jpg", "x" * 5000, ""])
def test_a_missing_file_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises((BrokenImageError, NotAnImageError), match=r"\w"):
        read_image(f"{tmp_path}/{name}", LIMIT)


def test_the_reason_includes_the_system_error(tmp_path: Path) -> None:
    with pytest.raises(BrokenImageError) as caught:
        read_image(str(tmp_path / "gone.jpg"), LIMIT)
    assert str(caught.value) == "it cannot be read: No such file or directory (ENOENT)"


def test_a_stored_input_is_found_whatever_its_ending(backend: FlakyBackend) -> None:
    for index, extension in ((1, "jpg"), (2, "webp"), (21, "png")):
        backend.inputs.put(input_key(request(index).request_id, extension), b"x")
    assert find_input(backend, request(2).request_id) == input_key(request(2).request_id, "webp")
    assert find_input(backend, request(0).request_id) is None
    assert find_input(backend, request(3).request_id) is None
    assert find_input(backend, request(22).request_id) is None
