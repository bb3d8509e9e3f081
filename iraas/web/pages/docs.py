"""The documentation page of the HTTP API: the operations of its OpenAPI document, with examples."""

from typing import Any

TAGS = ("Single images", "Jobs", "Images", "Deployment")
"""The order of the groups on the page."""


def grouped(document: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Group the operations by tag, each with its number on the page and its options for curl."""
    operations = sorted(_operations(document), key=lambda operation: _position(operation["tag"]))
    groups: dict[str, list[dict[str, Any]]] = {}
    for number, operation in enumerate(operations, 1):
        numbered = operation | {"number": number, "options": _curl_options(operation)}
        groups.setdefault(operation["tag"], []).append(numbered)
    return list(groups.items())


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "method": method.upper(),
            "path": path,
            "tag": (operation.get("tags") or ["Other"])[0],
            "summary": operation.get("summary", ""),
            "description": operation.get("description", ""),
            "parameters": operation.get("parameters", []),
            "has_body": "requestBody" in operation,
            "body_types": list(operation.get("requestBody", {}).get("content", {})),
            "responses": {
                status: response["description"]
                for status, response in operation["responses"].items()
                if status.startswith("2")
            },
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def _position(tag: str) -> int:
    return TAGS.index(tag) if tag in TAGS else len(TAGS)


def _curl_options(operation: dict[str, Any]) -> str:
    """Return the options of curl for an operation; a form implies POST."""
    if "multipart/form-data" in operation["body_types"]:
        is_many = "/jobs" in operation["path"]
        return "-F images=@cat.jpg -F images=@dog.jpg" if is_many else "-F inputFile=@cat.jpg"
    return "" if operation["method"] == "GET" else f"-X {operation['method']}"
