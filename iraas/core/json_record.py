"""Reading a frozen dataclass back from the JSON that `dataclasses.asdict` made of it."""

import json
from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args, get_origin

from iraas.errors import MessageError

Record = TypeVar("Record")

MAX_NUMBER = 1e12
"""No time, count or rate on record reaches it: in seconds, it is the year 33658."""


def read_record(data: bytes, kind: type[Record]) -> Record:
    """Read a record. Fields that this version does not know are passed over.

    Args:
        data: JSON text.
        kind: A dataclass whose fields are texts, numbers, truth values, `Literal` texts, tuples
            of texts, or dictionaries of texts.

    Raises:
        MessageError: If it is no such record: a field is missing or has a wrong type.
    """
    try:
        value = json.loads(data)
        return kind(**{name: _checked(name, value[name], of) for name, of in _known(kind, value)})
    except (ValueError, TypeError, RecursionError) as exc:
        raise MessageError(f"a {kind.__name__} record is mangled: {exc}") from exc


def _known(kind: type, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise TypeError("it is not a JSON object")
    return [(one.name, one.type) for one in fields(kind) if one.name in value]


def _checked(name: str, value: Any, kind: Any) -> Any:
    if not _is_of(value, kind):
        raise TypeError(f"{name} cannot be {str(value)[:40]!r}")
    return tuple(value) if get_origin(kind) is tuple else value


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    if kind is float:
        return _is_number(value, int | float)
    return _is_number(value, int) if kind is int else isinstance(value, kind)


def _is_number(value: Any, kind: Any) -> bool:
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    return is_number and -MAX_NUMBER < value < MAX_NUMBER  # also refuses NaN
