"""The shapes of the HTTP API's JSON, for the OpenAPI document; examples are elsewhere."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class LabelScoreModel(BaseModel):
    """A class and its probability."""

    label: str
    score: float = Field(ge=0, le=1)


class OutcomeModel(BaseModel):
    """What became of one picture."""

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
    """Where an outcome will be."""

    ticket: str
    url: str
    status: Literal["pending"]


class RefusalModel(BaseModel):
    """A file that is no picture, its place in the job, and why."""

    index: int
    name: str
    reason: str


class AcceptedModel(BaseModel):
    """What came of the files of a request."""

    job_id: str
    url: str
    state: Literal["open", "working"]
    accepted: int
    refused: list[RefusalModel]


class JobImageModel(BaseModel):
    """A picture of a job. The outcome is null while there is none."""

    index: int
    name: str
    image_url: str
    thumbnail_url: str
    outcome: OutcomeModel | None


class JobModel(BaseModel):
    """A job, how far it is, and some of its pictures.

    `next` is the address of those that follow, or null.
    """

    job_id: str
    url: str
    events_url: str
    created_at: float
    state: Literal["open", "working", "done", "cancelled"]
    cancelled: bool = Field(description="Whether somebody cancelled it before it was done.")
    total: int
    done: int
    failed: int
    is_counted: bool = Field(description="Whether `failed` is exact.")
    images: list[JobImageModel]
    next: str | None


class RetriedModel(BaseModel):
    """How many pictures are tried again."""

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
            "inputFile": {"type": "string", "format": "binary", "description": "One picture."}
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
                "description": "Pictures. Any field name will do; file names are for people.",
            }
        },
    },
    "example": {"images": [_BYTES, "(the bytes of dog.jpg)"]},
}
ONE_PICTURE: dict[str, Any] = {
    "required": True,
    "content": {"multipart/form-data": _FORM, "image/jpeg": _BINARY},
}
MANY_PICTURES: dict[str, Any] = {"required": True, "content": {"multipart/form-data": _MANY}}

CLASSIFY_PATH = "/api/v1/classify"
MAX_WAIT_S = 300
CLASSIFY: dict[str, Any] = {
    "tags": ["Single pictures"],
    "summary": "Classify one picture and wait",
    "description": (
        "Send a picture as the whole body, or as the one file of a form. The answer is its "
        "outcome, stored durably by then. If it takes longer than `wait_s`, the answer is 202 and "
        "the address at which the outcome will be; the picture is on the queue then and will not "
        "be lost."
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
            "description": "What to call a picture that is the whole body.",
            "schema": {"type": "string"},
        },
    ],
    "requestBody": ONE_PICTURE,
    "responses": {
        "200": {
            "description": "The outcome, be it a label or a failure.",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/OutcomeModel"}}
            },
        },
        "202": {
            "description": "Time is up: come back for the outcome.",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/TicketModel"}}
            },
        },
    },
}
