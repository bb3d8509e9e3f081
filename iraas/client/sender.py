"""Sending images: validate, build the request, put it on the request queue.

A small image travels inside its message; a larger one is put in the input store first and its
message carries the key. A file that is not an image is not sent: its failure outcome is stored at
once.
"""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from iraas.core.ids import request_id
from iraas.core.image_formats import SNIFF_BYTES, sniff_format
from iraas.core.jobs import Job, ManifestEntry
from iraas.core.keys import input_key, outcome_key
from iraas.core.messages import Request, encode_request, fits_inline
from iraas.core.outcomes import Outcome, decode_outcome
from iraas.core.ports import Backend, OutboundMessage
from iraas.core.regular_files import (
    IrregularFileError,
    check_below,
    open_regular,
    read_bounded,
)
from iraas.errors import BrokenImageError, ImageError, ImageTooLargeError, NotAnImageError
from iraas.jobs.refusals import store_refusals

SENDER = "submit"


@dataclass(frozen=True, slots=True)
class ImageUpload:
    """An image to send: its index in the job, its display name, its bytes."""

    index: int
    name: str
    data: bytes


def check_image(data: bytes, max_image_bytes: int) -> None:
    """Validate an image without decoding it.

    Args:
        data: The whole file.
        max_image_bytes: The maximum size, in bytes.

    Raises:
        ImageError: It cannot be classified; the text says why.
    """
    if not data:
        raise NotAnImageError("the file is empty")
    if len(data) > max_image_bytes:
        raise _too_large(len(data), max_image_bytes)
    if sniff_format(data[:SNIFF_BYTES]) is None:
        raise NotAnImageError("it is not a JPEG, PNG, WebP, GIF, BMP or TIFF image")


def read_image(path: str, max_image_bytes: int, *, folder: str = "") -> bytes:
    """Read a file and validate it with `check_image`.

    Args:
        path: The file.
        max_image_bytes: The maximum size, in bytes.
        folder: The folder, without links in its path, that must contain it; empty for any.

    Raises:
        ImageError: It does not exist, cannot be read, or is not an image; the text says why.
    """
    data = read_file(path, max_image_bytes, folder=folder)
    check_image(data, max_image_bytes)
    return data


def read_file(path: str, max_image_bytes: int, *, folder: str = "") -> bytes:
    """Read a file without checking its content. See `read_image` for the arguments.

    Raises:
        ImageError: It does not exist, cannot be read, or is too large; the text says why.
    """
    try:
        with open_regular(path) as file:
            if folder:
                check_below(file, path, folder)
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > max_image_bytes:
                raise _too_large(size_bytes, max_image_bytes)
            return read_bounded(file, max_image_bytes)
    except IrregularFileError as exc:
        raise NotAnImageError("it is not a regular file") from exc
    except (OSError, ValueError) as exc:
        raise BrokenImageError(f"it cannot be read: {_plain(exc)}") from exc


class Sender:
    """Sends the images of one job. Thread-safe.

    Args:
        backend: The deployment.
        job: The job that the images belong to.
        reply_to: The requester to whose response queue replies go; empty for no reply.
        clock: Returns seconds since the epoch.
    """

    def __init__(
        self, backend: Backend, job: Job, *, reply_to: str, clock: Callable[[], float]
    ) -> None:
        self.job_id = job.job_id
        self._backend = backend
        self._reply_to = reply_to
        self._clock = clock

    def send(self, images: Sequence[ImageUpload]) -> None:
        """Send validated images. Idempotent: sending twice does not lead to a second outcome.

        Raises:
            BackendError: A store or the queue failed; send all of them again.
        """
        large, messages = self.pack(images)
        if large:
            self._backend.inputs.put_if_absent(large)
        self._backend.requests.send(messages)

    def pack(
        self, images: Sequence[ImageUpload]
    ) -> tuple[list[tuple[str, bytes]], list[OutboundMessage]]:
        """Build the messages of validated images without sending them.

        Returns:
            The objects (keys and data) to store in the input store first, and the messages.
        """
        limit = self._backend.requests.max_body_bytes
        inline = [fits_inline(len(image.data), image.name, limit) for image in images]
        large = [
            (self._input_key(image), image.data)
            for image, fits in zip(images, inline, strict=True)
            if not fits
        ]
        return large, [
            self._message(image, inside=fits) for image, fits in zip(images, inline, strict=True)
        ]

    def send_stored(self, entry: ManifestEntry, key: str) -> None:
        """Send a request whose image is in the input store already. Idempotent.

        Args:
            entry: The image.
            key: Its key in the input store.

        Raises:
            BackendError: The queue failed.
        """
        request = self._request(entry.index, entry.name, key=key)
        body = encode_request(request)
        self._backend.requests.send([OutboundMessage(body, group=self.job_id)])

    def refuse(self, entry: ManifestEntry, error: ImageError) -> Outcome:
        """Store the failure outcome of an image that is not sent. Idempotent.

        Args:
            entry: The image.
            error: Why it is refused.

        Returns:
            The stored outcome, which may be an earlier one.

        Raises:
            MessageError: An earlier outcome is corrupt.
            BackendError: The output store failed.
        """
        outcome = self._refusal(entry, error)
        key = outcome_key(outcome.request_id)
        if self._backend.outputs.put_if_absent([(key, outcome.encode())]) == [True]:
            return outcome
        return decode_outcome(self._backend.outputs.get(key))

    def refuse_all(self, refused: Sequence[tuple[ManifestEntry, ImageError]]) -> None:
        """Store the failure outcomes of images that are never sent, as one object. Idempotent.

        Args:
            refused: The images with the reason of each, sorted by index.

        Raises:
            BackendError: The output store failed.
        """
        outcomes = [self._refusal(entry, error) for entry, error in refused]
        if outcomes:
            store_refusals(self._backend, self.job_id, outcomes)

    def _refusal(self, entry: ManifestEntry, error: ImageError) -> Outcome:
        now = self._clock()
        return Outcome(
            request_id=request_id(self.job_id, entry.index),
            job_id=self.job_id,
            name=entry.name,
            prediction=None,
            reason=str(error),
            model="",
            worker=SENDER,
            attempts=0,
            submitted_at=now,
            completed_at=now,
        )

    def _message(self, image: ImageUpload, *, inside: bool) -> OutboundMessage:
        if inside:
            request = self._request(image.index, image.name, image=image.data)
        else:
            request = self._request(image.index, image.name, key=self._input_key(image))
        return OutboundMessage(encode_request(request), group=self.job_id)

    def _request(
        self, index: int, name: str, *, image: bytes | None = None, key: str | None = None
    ) -> Request:
        return Request(
            request_id=request_id(self.job_id, index),
            name=name,
            submitted_at=self._clock(),
            reply_to=self._reply_to,
            image=image,
            input_key=key,
        )

    def _input_key(self, image: ImageUpload) -> str:
        found = sniff_format(image.data[:SNIFF_BYTES])
        extension = found.extension if found else "bin"
        return input_key(request_id(self.job_id, image.index), extension)


def _too_large(size_bytes: int, max_image_bytes: int) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"it has {size_bytes:,} bytes, more than the {max_image_bytes:,} allowed"
    )


def _plain(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.errno:
        return f"{exc.strerror} ({errno.errorcode.get(exc.errno, exc.errno)})"
    return str(exc)
