"""The API against its own description, with generated requests."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from iraas.backends.memory import MemoryBackend
from iraas.core.ids import is_job_id
from iraas.web.app import create_app
from iraas.web.config import WebConfig
from tests.fakes.scripted_classifier import image_bytes
from tests.functional.web.test_every_route import routes
from tests.functional.web.web_process import WebProcess, Worker, start_web
from tests.waiting import PATIENCE_S, wait_until

EXAMPLES = 25
STREAMS = "/events"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LIMITS = WebConfig(wait_s=0.05, max_wait_s=0.05, compatible_wait_s=0.05)


@pytest.fixture(scope="module")
def served() -> Iterator[WebProcess]:
    backend = MemoryBackend()
    web = start_web(backend, LIMITS)
    worker = Worker(backend)
    yield web
    worker.stop()
    web.stop()


@pytest.fixture(scope="module")
def job_id(served: WebProcess) -> str:
    files = [("f", (f"{n}.jpg", image_bytes(f"l{n}"))) for n in range(3)]
    found = str(served.client.post("/api/v1/jobs", files=files).json()["job_id"])
    wait_until(lambda: served.client.get(f"/api/v1/jobs/{found}").json()["state"] == "done")
    return found


def operations() -> list[tuple[str, str]]:
    document = create_app(MemoryBackend(), deployment="x").openapi()
    return [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if not path.endswith(STREAMS)
    ]


@pytest.mark.parametrize(("method", "path"), operations())
def test_every_answer_conforms_to_the_description(
    served: WebProcess, job_id: str, method: str, path: str
) -> None:
    schema = schemathesis.openapi.from_dict(served.client.get("/api/v1/openapi.json").json())
    schema.config.update(base_url=served.url)
    operation = schema[path][method]
    known = st.booleans()

    @given(case=operation.as_strategy(), is_known=known)
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    def holds(case: Any, is_known: bool) -> None:
        if is_known and "job_id" in (case.path_parameters or {}):
            case.path_parameters["job_id"] = job_id
        case.call_and_validate(base_url=served.url, checks=CHECKS, timeout=PATIENCE_S)

    holds()


def test_every_route_is_described_or_a_page() -> None:
    app = create_app(MemoryBackend(), deployment="x")
    described = set(app.openapi()["paths"])
    answered = {path for _, path in routes()}
    undescribed = {path for path in answered - described if path.startswith("/api/")}
    assert undescribed <= {"/api/v1/openapi.json"}


def test_every_schema_has_a_valid_example() -> None:
    document = create_app(MemoryBackend(), deployment="x").openapi()
    for name, schema in document["components"]["schemas"].items():
        (example,) = schema["examples"]
        whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.validator_for(whole).validate(example)
        if not schema.get("additionalProperties"):
            assert set(example) == set(schema["properties"]), name


def test_the_example_ticket_is_valid() -> None:
    document = create_app(MemoryBackend(), deployment="x").openapi()
    (example,) = document["components"]["schemas"]["TicketModel"]["examples"]
    assert is_job_id(example["ticket"])  # as every ticket is that is redeemed
    assert example["url"].endswith(example["ticket"])


def test_every_body_has_an_example_and_every_answer_a_schema() -> None:
    document = create_app(MemoryBackend(), deployment="x").openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = (method, path)
            for media in operation.get("requestBody", {}).get("content", {}).values():
                assert media["example"], where
            for status, answer in operation["responses"].items():
                media = answer.get("content", {}).get("application/json")
                if status.startswith("2") and media is not None and "outcomes" not in path:
                    assert "$ref" in media["schema"], where


def test_the_description_includes_errors() -> None:
    document = create_app(MemoryBackend(), deployment="x").openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            problem = operation["responses"]["429"]["content"]
            assert list(problem) == ["application/problem+json"], (method, path)
            assert operation["summary"], (method, path)
