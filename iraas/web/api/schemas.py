"""Schemas of the HTTP API's JSON, for the OpenAPI document; see `examples` for examples."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class LabelScoreModel(BaseModel):
    """A class and its probability."""

    label: str
    score: float = Field(ge=0, le=1)


class OutcomeModel(BaseModel):
    """The result of classifying one image."""

    request_id: str
    job_id: str
    name: str
    status: Literal["ok", "failed"]
    label: str | None
    score: float | None
    top: list[LabelScoreModel]
    reason: str | None
    model: str | None
    worker: str | None
    attempts: int
    submitted_at: float
    completed_at: float


class TicketModel(BaseModel):
    """The address at which an outcome will be available."""

    ticket: str
    url: str
    status: Literal["pending"]


class RefusalModel(BaseModel):
    """A file that is not an image, its index in the job, and the reason."""

    index: int
    name: str
    reason: str


class AcceptedModel(BaseModel):
    """The accepted and refused files of a request."""

    job_id: str
    url: str
    state: Literal["open", "working"]
    accepted: int
    refused: list[RefusalModel]


class JobImageModel(BaseModel):
    """An image of a job. The outcome is null while there is none."""

    index: int
    name: str
    image_url: str
    thumbnail_url: str
    outcome: OutcomeModel | None


class JobModel(BaseModel):
    """A job, its progress, and some of its images.

    `next` is the address of the following images, or null.
    """

    job_id: str
    url: str
    events_url: str
    created_at: float
    state: Literal["open", "working", "done", "cancelled"]
    cancelled: bool = Field(description="Whether it was cancelled before it was done.")
    total: int
    done: int
    failed: int
    is_counted: bool = Field(description="Whether `failed` is exact.")
    images: list[JobImageModel]
    next: str | None


class RetriedModel(BaseModel):
    """The number of images sent again."""

    retried: int


class ProblemModel(BaseModel):
    """An error (RFC 9457). `code` is for programs, `detail` and `remedy` for people."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str = ""


_BYTES = "(the bytes of cat.jpg)"
_BINARY = {
    "schema": {"type": "string", "contentMediaType": "application/octet-stream"},
    "example": _BYTES,
}
_FORM = {
    "schema": {
        "type": "object",
        "required": ["inputFile"],
        "properties": {
            "inputFile": {"type": "string", "format": "binary", "description": "One image."}
        },
    },
    "example": {"inputFile": _BYTES},
}
_MANY = {
    "schema": {
        "type": "object",
        "required": ["images"],
        "properties": {
            "images": {
                "type": "array",
                "items": {"type": "string", "format": "binary"},
                "description": "Images. Any field name is accepted; file names are informational.",
            }
        },
    },
    "example": {"images": [_BYTES, "(the bytes of dog.jpg)"]},
}
ONE_IMAGE: dict[str, Any] = {
    "required": True,
    "content": {"multipart/form-data": _FORM, "image/jpeg": _BINARY},
}
MANY_IMAGES: dict[str, Any] = {"required": True, "content": {"multipart/form-data": _MANY}}

CLASSIFY_PATH = "/api/v1/classify"
MAX_WAIT_S = 300
CLASSIFY: dict[str, Any] = {
    "tags": ["Single images"],
    "summary": "Classify one image and wait",
    "description": (
        "Send an image as the whole body, or as the one file of a form. The response is its "
        "outcome, stored durably. If it takes longer than `wait_s`, the response is 202 and the "
        "address at which the outcome will be; the image is queued durably by then."
    ),
    "operationId": "classify",
    "parameters": [
        {
            "name": "wait_s",
            "in": "query",
            "description": "How long to wait for the outcome.",
            "schema": {"type": "number", "minimum": 0, "maximum": MAX_WAIT_S},
        },
        {
            "name": "name",
            "in": "query",
            "description": "Name of an image sent as the whole body.",
            "schema": {"type": "string"},
        },
    ],
    "requestBody": ONE_IMAGE,
    "responses": {
        "200": {
            "description": "The outcome: a label or a failure.",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/OutcomeModel"}}
            },
        },
        "202": {
            "description": "The wait timed out: get the outcome from the returned address.",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/TicketModel"}}
            },
        },
    },
}
