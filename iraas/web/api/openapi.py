"""The OpenAPI document: FastAPI's, with errors as they really are."""

from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

import iraas
from iraas.web.api.examples import EXAMPLES
from iraas.web.api.schemas import CLASSIFY, CLASSIFY_PATH, ProblemModel
from iraas.web.problems import MEDIA_TYPE

DESCRIPTION = (
    "Send pictures, get their labels. A program sends the deployment's token as a bearer token, "
    "if there is one. Errors are problem details (RFC 9457); a 429 or 503 tells in `Retry-After` "
    "when to come again, and nothing that was accepted is lost by it."
)
PROBLEMS = {
    "400": "The request is mangled.",
    "401": "The server wants a token.",
    "403": "The request comes from another site.",
    "404": "There is no such thing.",
    "408": "The body came too slowly.",
    "409": "The job takes no more pictures.",
    "413": "The body, or a picture, is too large.",
    "415": "The body is not of a kind that is read here.",
    "421": "The server is not called that.",
    "422": "A parameter or a picture is not what it should be.",
    "429": "There is no room now: come again.",
    "503": "The backend, or the answer, is not to be had now: come again.",
}
_REFERENCE = {"$ref": "#/components/schemas/Problem"}


def make_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the app, made once."""
    if not app.openapi_schema:
        document = get_openapi(
            title="iraas",
            version=iraas.__version__,
            summary="Image recognition as a service that you own",
            description=DESCRIPTION,
            routes=app.routes,
        )
        classify = {CLASSIFY_PATH: {"post": deepcopy(CLASSIFY)}}
        document["paths"] = classify | document["paths"]
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = ProblemModel.model_json_schema()
        for name, example in EXAMPLES.items():
            schemas[name]["examples"] = [example]
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{}, {"token": []}]
        for _, _, operation in _operations(document):
            for status, description in PROBLEMS.items():
                operation["responses"][status] = {
                    "description": description,
                    "content": {MEDIA_TYPE: {"schema": _REFERENCE}},
                }
        app.openapi_schema = document
    return app.openapi_schema


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations, flat, for the documentation page."""
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
                status: answer["description"]
                for status, answer in operation["responses"].items()
                if status.startswith("2")
            },
        }
        for method, path, operation in _operations(document)
    ]


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
