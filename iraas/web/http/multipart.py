"""Streaming parser of ``multipart/form-data``: one part at a time, each within limits."""

from dataclasses import dataclass
from http import HTTPStatus

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from iraas.core.jobs import sanitize_name
from iraas.web.limits.memory import MemoryReservation
from iraas.web.problems import Problem

MAX_HEADER_BYTES = 16_384
MAX_HEADERS = 16
MAX_FIELD_BYTES = 16_384
MAX_EMPTY_PARTS = 100
NO_NAME = "image"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a form.

    Attributes:
        field: The field's name.
        filename: The file's sanitized name, for people only; None if it is not a file.
        data: The bytes; empty for a file over the limit.
        size_bytes: Number of bytes received.
    """

    field: str
    filename: str | None
    data: bytes
    size_bytes: int

    @property
    def is_whole(self) -> bool:
        """False if the part was over the limit and its data dropped."""
        return len(self.data) == self.size_bytes


class MultipartReader:
    """Parses chunks of a body into parts, and charges buffered bytes to a memory reservation.

    Args:
        content_type: The request's content type.
        reservation: Grows with the buffered bytes; the caller shrinks it by the data of each part
            that it is done with.
        max_file_bytes: The largest file; the data of a larger one is dropped, not refused.
        max_files: Maximum number of files.

    Raises:
        Problem: The content type is not multipart, or has no boundary (415).
    """

    def __init__(
        self,
        content_type: str,
        reservation: MemoryReservation,
        *,
        max_file_bytes: int,
        max_files: int,
    ) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "the body must be multipart/form-data with a boundary",
                code="not-multipart",
            )
        self._reservation = reservation
        self._max_file_bytes = max_file_bytes
        self._max_files = max_files
        self._files = self._others = 0
        self._done: list[Part] = []
        self._ended = False
        self._header_name = self._header_value = b""
        self._begin()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_part_data": self._take,
                    "on_part_end": self._end,
                    "on_header_field": self._take_header_name,
                    "on_header_value": self._take_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_end": self._end_all,
                },
                max_header_count=MAX_HEADERS,
                max_header_size=MAX_HEADER_BYTES,
            )
        except FormParserError as exc:
            raise _malformed(str(exc)) from exc

    def feed(self, chunk: bytes) -> list[Part]:
        """Parse a chunk; return the parts that it completes.

        Raises:
            Problem: The body is malformed (400), has too many files (413), or the memory budget is
                exhausted (429).
        """
        try:
            self._parser.write(chunk)
        except FormParserError as exc:
            raise _malformed(str(exc)) from exc
        parts, self._done = self._done, []
        return parts

    def finish(self) -> None:
        """Check that the body is complete.

        Raises:
            Problem: It was truncated (400).
        """
        if not self._ended:
            raise _malformed("it ends before its last boundary")

    def close(self) -> None:
        """Drop buffered data.

        The reader and its parser reference each other: without this the data would stay in memory,
        uncounted, until the garbage collector runs.
        """
        self._begin()
        self._done.clear()

    def _begin(self) -> None:
        self._field: str | None = None
        self._filename: str | None = None
        self._data = bytearray()  # not a list of chunks: tiny ones take many times their size
        self._size = 0

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            if b"name" in options:
                self._field = options[b"name"].decode("utf-8", "replace")
            if b"filename" in options:
                text = options[b"filename"].decode("utf-8", "replace")
                self._filename = sanitize_name(text)
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        if self._field is None:
            raise _malformed("a part of it has no name")
        if self._filename is None:
            self._others += 1
        else:
            self._files += 1
        if self._files > self._max_files:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a request may carry {self._max_files:,} files at most",
                code="too-many-files",
                remedy="Send the rest with another request.",
                headers={"Connection": "close"},
            )
        if self._others > MAX_EMPTY_PARTS:
            raise _malformed("it has too many fields")

    def _take(self, data: bytes, start: int, end: int) -> None:
        size = end - start
        self._size += size
        if self._filename is None and self._size > MAX_FIELD_BYTES:
            raise _malformed(f"the field {str(self._field)[:80]!r} is too long")
        if self._size <= self._max_file_bytes:
            self._reservation.grow(size)
            self._data += memoryview(data)[start:end]
        elif self._data:
            self._reservation.shrink(len(self._data))
            self._data = bytearray()

    def _end(self) -> None:
        if self._filename == "" and self._size == 0:
            return  # what a browser sends for a file input that was left empty
        assert self._field is not None
        filename = self._filename or NO_NAME if self._filename is not None else None
        self._done.append(Part(self._field, filename, bytes(self._data), self._size))
        self._data = bytearray()

    def _end_all(self) -> None:
        self._ended = True


def _malformed(why: str) -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        f"the form in the request body is malformed: {why}",
        code="mangled-form",
        headers={"Connection": "close"},
    )
