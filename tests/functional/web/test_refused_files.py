"""Files that are not images: each is reported with its reason, and none is stored."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from iraas.backends.local.backend import LocalBackend
from tests.functional.web.web_process import Serve, WebProcess

MANY = 3000
MOST_FILES = 60
EMPTY = b""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[LocalBackend]:
    backend = LocalBackend(tmp_path, "shop", worker_command=["false"])
    yield backend
    backend.provisioning.teardown()
    backend.close()


@pytest.fixture
def local(shop: LocalBackend, serve: Serve) -> WebProcess:
    return serve(on=shop)


def many_empty_files(count: int) -> bytes:
    parts = (
        b'--x\r\nContent-Disposition: form-data; name="images"; filename="%d.jpg"\r\n\r\n\r\n' % one
        for one in range(count)
    )
    return b"".join(parts) + b"--x--\r\n"


def test_thousands_of_empty_files_are_all_reported_and_leave_few_files(
    shop: LocalBackend, local: WebProcess
) -> None:
    answer = local.client.post(
        "/api/v1/jobs",
        content=many_empty_files(MANY),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert (answer.status_code, answer.json()["accepted"]) == (202, 0)
    job = f"/api/v1/jobs/{answer.json()['job_id']}"
    assert sum(1 for path in shop.folder.rglob("*") if path.is_file()) < MOST_FILES
    found = local.client.get(job).json()
    assert (found["state"], found["total"], found["failed"]) == ("done", MANY, MANY)
    outcomes = local.client.get(f"{job}/outcomes.json").json()
    assert [one["name"] for one in outcomes] == [f"{number}.jpg" for number in range(MANY)]
    assert {one["reason"] for one in outcomes} == {"the file is empty"}
    assert len(local.client.get(f"{job}/outcomes.jsonl").text.splitlines()) == MANY


def test_refused_files_do_not_delay_accepted_ones(shop: LocalBackend, local: WebProcess) -> None:
    body = many_empty_files(50).removesuffix(b"--x--\r\n")
    body += b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
    body += b"\xff\xd8\xff\xe0 an image\r\n--x--\r\n"
    answer = local.client.post(
        "/api/v1/jobs",
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    ).json()
    assert (answer["accepted"], len(answer["refused"])) == (1, 50)
    assert shop.requests.depth().total == 1
    waiting = local.client.get(f"/api/v1/jobs/{answer['job_id']}?status=waiting").json()["images"]
    assert [(one["index"], one["name"]) for one in waiting] == [(50, "a.jpg")]
