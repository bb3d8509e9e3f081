"""Deleting a job frees what it took, is final, and safe while workers still hold images of it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from iraas.backends.local.backend import LocalBackend
from iraas.backends.memory import MemoryBackend
from tests.fakes.scripted_classifier import image_bytes
from tests.functional.web.web_process import Serve, WebProcess, Worker
from tests.waiting import PATIENCE_S, wait_until

BIG = image_bytes("") + b"\xff" * 200_000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[LocalBackend]:
    backend = LocalBackend(tmp_path, "shop", worker_command=["false"])
    yield backend
    backend.provisioning.teardown()
    backend.close()


def make_job(web: WebProcess, count: int = 5) -> str:
    files = [("images", (f"{number}.jpg", BIG)) for number in range(count)]
    files.append(("images", ("empty.jpg", b"")))
    return str(web.client.post("/api/v1/jobs", files=files).json()["job_id"])


def state(web: WebProcess, job_id: str) -> str:
    return str(web.client.get(f"/api/v1/jobs/{job_id}").json().get("state"))


def finish(web: WebProcess, job_id: str) -> None:
    wait_until(lambda: state(web, job_id) == "done", "the end of the job")


def test_deleting_a_job_that_is_done_frees_its_space_and_leaves_no_file_of_it(
    shop: LocalBackend, serve: Serve
) -> None:
    web = serve(on=shop)
    job_id = make_job(web)
    worker = Worker(shop)
    finish(web, job_id)
    worker.stop()
    before = shop.storage.usage().used_bytes
    assert web.client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    left = [path for path in shop.folder.rglob(f"*{job_id}*") if "deleted" not in str(path)]
    assert left == []
    assert [one.key for one in shop.inputs.list()] == []
    assert [one.key for one in shop.outputs.list()] == []
    after = shop.storage.usage().used_bytes
    assert before is not None
    assert after is not None
    assert before - after >= 5 * len(BIG)


@pytest.mark.usefixtures("worker")
def test_a_deleted_job_is_not_found_and_deleting_it_again_is_no_error(web: WebProcess) -> None:
    job_id = make_job(web)
    finish(web, job_id)
    for _ in range(2):
        assert web.client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    for path in ("", "/events", "/outcomes.csv", "/images/0", "/images/0/thumbnail"):
        assert web.client.get(f"/api/v1/jobs/{job_id}{path}").status_code == 404
    assert web.client.get(f"/jobs/{job_id}").status_code == 404
    for path in ("/images", "/seal", "/retry", "/cancel"):
        answer = web.client.post(f"/api/v1/jobs/{job_id}{path}", files={"a": ("a.jpg", BIG)})
        assert answer.status_code == 404


def test_an_unknown_job_cannot_be_deleted(web: WebProcess) -> None:
    for job_id in ("0" * 26, "nonsense"):
        assert web.client.delete(f"/api/v1/jobs/{job_id}").status_code == 404


def test_a_running_job_is_cancelled_first_and_deleted_by_the_second_call(
    web: WebProcess, backend: MemoryBackend
) -> None:
    job_id = make_job(web)
    answer = web.client.delete(f"/api/v1/jobs/{job_id}")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert web.client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    assert state(web, job_id) == "None"
    assert [one.key for one in backend.outputs.list()] == []


def test_objects_stored_after_a_deletion_are_swept(
    web: WebProcess, backend: MemoryBackend, hire: Callable[[], Worker]
) -> None:
    job_id = make_job(web)
    for _ in range(2):
        web.client.delete(f"/api/v1/jobs/{job_id}")
    hire()
    wait_until(lambda: backend.requests.depth().total == 0, "the worker to be done")
    assert len(list(backend.outputs.list())) == 5
    assert state(web, job_id) == "None"


def test_another_server_knows_of_the_deletion(serve: Serve, hire: Callable[[], Worker]) -> None:
    one, other = serve(), serve()
    job_id = make_job(one)
    hire()
    finish(other, job_id)
    assert one.client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    url = f"/api/v1/jobs/{job_id}"
    wait_until(lambda: other.client.get(url).status_code == 404, "the other server to poll")
    assert other.client.delete(f"/api/v1/jobs/{job_id}").status_code == 204


def test_an_event_stream_of_a_deleted_job_ends(web: WebProcess) -> None:
    job_id = make_job(web)
    web.client.post(f"/api/v1/jobs/{job_id}/cancel")
    ended = threading.Event()

    def follow() -> None:
        with httpx2.stream("GET", f"{web.url}/api/v1/jobs/{job_id}/events", timeout=60) as stream:
            for _ in stream.iter_lines():
                begun.set()
        ended.set()

    begun = threading.Event()
    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(PATIENCE_S)
    assert web.client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    assert ended.wait(PATIENCE_S)
    thread.join()


@pytest.mark.usefixtures("worker")
def test_a_job_is_deleted_from_its_page_after_confirmation(web: WebProcess) -> None:
    job_id = make_job(web)
    finish(web, job_id)
    assert f'href="/jobs/{job_id}/delete"' in web.client.get(f"/jobs/{job_id}").text
    assert "Delete this job?" in web.client.get(f"/jobs/{job_id}/delete").text
    answer = web.client.post(f"/jobs/{job_id}/delete")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert web.client.get(f"/jobs/{job_id}").status_code == 404


def test_a_page_does_not_delete_a_running_job(web: WebProcess) -> None:
    job_id = make_job(web)
    assert web.client.post(f"/jobs/{job_id}/delete").status_code == 409
    assert state(web, job_id) == "working"
