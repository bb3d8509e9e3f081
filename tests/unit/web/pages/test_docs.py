"""The page of the API's documentation."""

from iraas.backends.memory import MemoryBackend
from iraas.web.app import create_app
from iraas.web.pages.docs import TAGS, grouped


def test_operations_are_in_a_useful_order_with_working_examples() -> None:
    groups = grouped(create_app(MemoryBackend(), deployment="shop").openapi())

    assert [tag for tag, _ in groups] == list(TAGS)
    found = [one for _, group in groups for one in group]
    assert [one["number"] for one in found] == list(range(1, len(found) + 1))
    calls = {(one["method"], one["path"]): one["options"] for one in found}
    assert calls["POST", "/api/v1/classify"] == "-F inputFile=@cat.jpg"
    assert calls["POST", "/api/v1/jobs"] == "-F images=@cat.jpg -F images=@dog.jpg"
    assert calls["POST", "/api/v1/jobs/{job_id}/seal"] == "-X POST"
    assert calls["GET", "/api/v1/status"] == ""
