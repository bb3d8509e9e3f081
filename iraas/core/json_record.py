"""Frozen dataclasses as JSON objects, and back.

A field whose metadata has ``stored`` is stored under that name: one of earlier versions.
"""

import json
from dataclasses import Field, asdict, fields
from typing import Any, Literal, TypeVar, get_args, get_origin

from iraas.errors import MessageError

Record = TypeVar("Record")

MAX_NUMBER = 1e12
"""The exclusive bound of times, counts and rates in records: as a time it is the year 33658."""


def write_record(record: Any, *, indent: int | None = None) -> bytes:
    """Encode a record, a dataclass instance, as JSON.

    Args:
        record: The record.
        indent: Spaces of each level of indentation; None for one line.
    """
    values = asdict(record)
    stored = {stored_name(field): values[field.name] for field in fields(record)}
    return json.dumps(stored, indent=indent).encode()


def stored_name(field: Field[Any]) -> str:
    """Return the name under which a field of a record is stored."""
    return str(field.metadata.get("stored", field.name))


def read_record(data: bytes, record_type: type[Record]) -> Record:
    """Decode a record. Unknown fields are ignored.

    Args:
        data: JSON text.
        record_type: A dataclass whose fields are strings, numbers, booleans, `Literal` strings,
            tuples of strings, or dictionaries of strings.

    Raises:
        MessageError: The record is corrupt: a field is missing or has a wrong type.
    """
    try:
        value = json.loads(data)
        known = _known(record_type, value)
        return record_type(
            **{one.name: _checked(one.name, value[stored_name(one)], one.type) for one in known}
        )
    except (ValueError, TypeError, RecursionError) as exc:
        raise MessageError(f"corrupt {record_type.__name__} record: {exc}") from exc


def _known(record_type: Any, value: Any) -> list[Field[Any]]:
    if not isinstance(value, dict):
        raise TypeError("it is not a JSON object")
    return [field for field in fields(record_type) if stored_name(field) in value]


def _checked(name: str, value: Any, of: Any) -> Any:
    if not _is_of(value, of):
        raise TypeError(f"{name} cannot be {str(value)[:40]!r}")
    return tuple(value) if get_origin(of) is tuple else value


def _is_of(value: Any, of: Any) -> bool:
    if get_origin(of) is Literal:
        return value in get_args(of)
    if get_origin(of) is tuple:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if get_origin(of) is dict:
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    if of is float:
        return _is_number(value, int | float)
    return _is_number(value, int) if of is int else isinstance(value, of)


def _is_number(value: Any, of: Any) -> bool:
    is_number = isinstance(value, of) and not isinstance(value, bool)
    return is_number and -MAX_NUMBER < value < MAX_NUMBER  # also refuses NaN
