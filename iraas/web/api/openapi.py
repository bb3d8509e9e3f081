"""The OpenAPI document: FastAPI's, with the actual error responses."""

from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

import iraas
from iraas.web.api.examples import EXAMPLES
from iraas.web.api.schemas import CLASSIFY, CLASSIFY_PATH, ProblemModel
from iraas.web.problems import MEDIA_TYPE

DESCRIPTION = (
    "Send images, get their labels. Programs send the deployment's token as a bearer token, if it "
    "has one. Errors are problem details (RFC 9457); a 429 or 503 says in `Retry-After` when to "
    "try again, and nothing that was accepted is lost."
)
PROBLEMS = {
    "400": "The request is malformed.",
    "401": "A token is required.",
    "403": "The request comes from another site.",
    "404": "Not found.",
    "408": "The body arrived too slowly.",
    "409": "The job accepts no more images.",
    "413": "The body, or an image, is too large.",
    "415": "The body's content type is not supported.",
    "421": "The server does not have this host name.",
    "422": "A parameter or an image is invalid.",
    "429": "The server is at capacity: try again later.",
    "503": "The backend or the outcome is temporarily unavailable: try again.",
}


def make_document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the app, built once."""
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
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["responses"] |= _problem_responses()
        app.openapi_schema = document
    return app.openapi_schema


def _problem_responses() -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": description, "content": content}
        for status, description in PROBLEMS.items()
    }
