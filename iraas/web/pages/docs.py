"""What the API's page shows: the operations of its OpenAPI document, and how to call them."""

from typing import Any

from iraas.web.api.openapi import operations

TAGS = ("Single pictures", "Jobs", "Pictures", "Deployment")
"""The order in which somebody wants to know of them."""


def grouped(document: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The operations by tag, each with its number on the page and a call for the command line."""
    found = sorted(operations(document), key=lambda one: _place(one["tag"]))
    groups: dict[str, list[dict[str, Any]]] = {}
    for number, one in enumerate(found, 1):
        groups.setdefault(one["tag"], []).append(one | {"number": number, "options": _options(one)})
    return list(groups.items())


def _place(tag: str) -> int:
    return TAGS.index(tag) if tag in TAGS else len(TAGS)


def _options(operation: dict[str, Any]) -> str:
    """What curl must be told; a form alone makes it post."""
    if "multipart/form-data" in operation["body_types"]:
        is_many = "/jobs" in operation["path"]
        return "-F images=@cat.jpg -F images=@dog.jpg" if is_many else "-F inputFile=@cat.jpg"
    return "" if operation["method"] == "GET" else f"-X {operation['method']}"
