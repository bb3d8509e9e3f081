"""Many images together: jobs by HTTP."""

import csv
import io
import json
from collections.abc import Callable

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.core.control_chars import csv_text
from iraas.jobs.store import list_jobs
from iraas.web.config import WebConfig
from tests.fakes.scripted_classifier import BROKEN, image_bytes
from tests.functional.web.web_process import Serve, WebProcess, Worker
from tests.waiting import wait_until

File = tuple[str, tuple[str, bytes]]
Hire = Callable[[], Worker]
HOSTILE_NAMES = [
    "../../etc/passwd",
    "..%2f..%2e%2e",
    "<img src=x onerror=alert(1)>.jpg",
    "a\u202egpj.exe",
    "x" * 4096,
    "=cmd|' /C calc'!A0",
    'quote".jpg',
    "naïve 漢字 🦊.jpg",
    "{{ 7 * 7 }}",
]


def files(*labels: str) -> list[File]:
    return [("images", (f"{label}.jpg", image_bytes(label))) for label in labels]


def make_job(web: WebProcess, *labels: str) -> str:
    answer = web.client.post("/api/v1/jobs", files=files(*labels))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def wait_until_done(web: WebProcess, job_id: str) -> dict[str, object]:
    wait_until(lambda: web.client.get(f"/api/v1/jobs/{job_id}").json()["state"] == "done")
    found: dict[str, object] = web.client.get(f"/api/v1/jobs/{job_id}").json()
    return found


@pytest.mark.usefixtures("worker")
def test_a_job_lists_each_image_with_its_outcome(web: WebProcess) -> None:
    job_id = make_job(web, "cat", "dog", "owl")
    found = wait_until_done(web, job_id)
    assert (found["total"], found["done"], found["failed"]) == (3, 3, 0)
    images = found["images"]
    assert isinstance(images, list)
    labels = {one["name"]: one["outcome"]["label"] for one in images}
    assert labels == {"cat.jpg": "cat", "dog.jpg": "dog", "owl.jpg": "owl"}


@pytest.mark.usefixtures("worker")
def test_files_that_are_not_images_are_refused_by_name_and_the_rest_is_sent(serve: Serve) -> None:
    web = serve(WebConfig(max_image_bytes=1000))
    sent = [
        *files("cat"),
        ("images", ("notes.txt", b"plain text")),
        ("images", ("huge.jpg", image_bytes("x" * 2000))),
        ("images", ("empty.jpg", b"")),
        *files("dog"),
    ]
    answer = web.client.post("/api/v1/jobs", files=sent)
    assert answer.status_code == 202
    reasons = {one["name"]: one["reason"] for one in answer.json()["refused"]}
    assert reasons == {
        "notes.txt": "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF image",
        "huge.jpg": "it has 2,003 bytes, more than the 1,000 allowed",
        "empty.jpg": "the file is empty",
    }
    found = wait_until_done(web, answer.json()["job_id"])
    assert (found["total"], found["done"], found["failed"]) == (5, 5, 3)


def test_a_form_without_a_file_makes_no_job(web: WebProcess, backend: MemoryBackend) -> None:
    answer = web.client.post("/api/v1/jobs", files=[("note", (None, "hello"))])
    assert answer.status_code == 422
    assert not list(list_jobs(backend))


@pytest.mark.usefixtures("worker")
def test_hostile_names_are_only_names(web: WebProcess, backend: MemoryBackend) -> None:
    sent = [("images", (name, image_bytes("cat"))) for name in HOSTILE_NAMES]
    answer = web.client.post("/api/v1/jobs", files=sent)
    assert answer.json()["accepted"] == len(HOSTILE_NAMES)
    job_id = answer.json()["job_id"]
    wait_until_done(web, job_id)
    keys = [one.key for store in (backend.inputs, backend.outputs) for one in store.list()]
    assert all(key.startswith(f"{job_id}/00000/0000000") for key in keys)
    page = web.client.get(f"/jobs/{job_id}").text
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror" in page
    assert "{{ 7 * 7 }}" in page
    for index in range(len(HOSTILE_NAMES)):
        answer = web.client.get(f"/api/v1/jobs/{job_id}/images/{index}")
        assert answer.status_code == 200
        disposition = answer.headers["content-disposition"]
        assert disposition.startswith("attachment; ")
        assert disposition.endswith(".jpg")
        assert "%E2%80%AE" not in disposition
        assert "%2F" not in disposition


@pytest.mark.usefixtures("worker")
def test_a_hostile_class_label_is_only_text(web: WebProcess) -> None:
    job_id = make_job(web, "<script>alert(1)</script>")
    wait_until_done(web, job_id)
    page = web.client.get(f"/jobs/{job_id}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_an_open_job_accepts_images_until_it_is_sealed(web: WebProcess, hire: Hire) -> None:
    job_id = web.client.post("/api/v1/jobs?open=true").json()["job_id"]
    for label in ("cat", "dog"):
        answer = web.client.post(f"/api/v1/jobs/{job_id}/images", files=files(label))
        assert answer.status_code == 202
        assert answer.json()["state"] == "open"
    assert web.client.get(f"/api/v1/jobs/{job_id}").json()["total"] == 2
    sealed = web.client.post(f"/api/v1/jobs/{job_id}/seal")
    assert (sealed.json()["state"], sealed.json()["total"]) == ("working", 2)
    assert web.client.post(f"/api/v1/jobs/{job_id}/seal").status_code == 200
    late = web.client.post(f"/api/v1/jobs/{job_id}/images", files=files("owl"))
    assert late.status_code == 409
    hire()
    assert wait_until_done(web, job_id)["done"] == 2


def test_images_may_be_added_through_several_servers_at_once(serve: Serve, hire: Hire) -> None:
    first, second = serve(), serve()
    job_id = first.client.post("/api/v1/jobs?open=true").json()["job_id"]
    for number in range(6):
        web = first if number % 2 else second
        web.client.post(f"/api/v1/jobs/{job_id}/images", files=files(f"a{number}", f"b{number}"))
    assert second.client.post(f"/api/v1/jobs/{job_id}/seal").json()["total"] == 12
    hire()
    images = wait_until_done(first, job_id)["images"]
    assert isinstance(images, list)
    assert [one["name"] for one in images] == [f"{ab}{n}.jpg" for n in range(6) for ab in "ab"]
    assert [one["outcome"]["label"] + ".jpg" for one in images] == [one["name"] for one in images]


def test_a_cancelled_job_accepts_no_more_and_counts_images_in_flight(
    web: WebProcess, hire: Hire
) -> None:
    job_id = web.client.post("/api/v1/jobs?open=true").json()["job_id"]
    web.client.post(f"/api/v1/jobs/{job_id}/images", files=files("cat"))
    assert web.client.post(f"/api/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    assert web.client.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
    late = web.client.post(f"/api/v1/jobs/{job_id}/images", files=files("dog"))
    assert late.status_code == 409
    hire()
    found = wait_until_done(web, job_id)
    assert (found["done"], found["total"], found["cancelled"]) == (1, 1, True)


@pytest.mark.usefixtures("worker")
def test_a_job_that_is_done_cannot_be_cancelled_any_more(web: WebProcess) -> None:
    job_id = make_job(web, "cat")
    wait_until_done(web, job_id)
    answer = web.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "done")
    assert answer.json()["cancelled"] is False


def test_a_cancelled_job_is_not_retried(web: WebProcess) -> None:
    job_id = make_job(web, "cat")
    web.client.post(f"/api/v1/jobs/{job_id}/cancel")
    answer = web.client.post(f"/api/v1/jobs/{job_id}/retry")
    assert answer.status_code == 409
    assert "cancelled" in answer.json()["detail"]


@pytest.mark.usefixtures("worker")
def test_outcomes_are_paged_and_can_be_filtered(web: WebProcess) -> None:
    sent = files(*(f"l{number}" for number in range(7)))
    sent.insert(3, ("images", ("bad.jpg", BROKEN)))
    job_id = web.client.post("/api/v1/jobs", files=sent).json()["job_id"]
    wait_until_done(web, job_id)
    names: list[str] = []
    address = f"/api/v1/jobs/{job_id}?limit=3"
    while address:
        page = web.client.get(address).json()
        names += [one["name"] for one in page["images"]]
        address = page["next"]
    assert names == [name for _, (name, _) in sent]
    failed = web.client.get(f"/api/v1/jobs/{job_id}?status=failed").json()["images"]
    assert [one["name"] for one in failed] == ["bad.jpg"]
    labelled = web.client.get(f"/api/v1/jobs/{job_id}?status=ok&limit=100").json()["images"]
    assert len(labelled) == 7
    assert web.client.get(f"/api/v1/jobs/{job_id}?status=waiting").json()["images"] == []


def test_waiting_images_are_listed_by_name(web: WebProcess) -> None:
    job_id = make_job(web, *(f"l{number}" for number in range(40)))
    page = web.client.get(f"/api/v1/jobs/{job_id}?status=waiting&after=34").json()
    assert [one["name"] for one in page["images"]] == [f"l{n}.jpg" for n in range(35, 40)]
    assert all(one["outcome"] is None for one in page["images"])


@pytest.mark.usefixtures("worker")
def test_outcomes_can_be_downloaded_and_no_name_becomes_a_formula(web: WebProcess) -> None:
    sent = [("images", ("=1+1.jpg", image_bytes("cat"))), ("images", ("b.jpg", BROKEN))]
    job_id = web.client.post("/api/v1/jobs", files=sent).json()["job_id"]
    wait_until_done(web, job_id)
    text = web.client.get(f"/api/v1/jobs/{job_id}/outcomes.csv").content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["name"], row["label"]) for row in rows] == [("'=1+1.jpg", "cat"), ("b.jpg", "")]
    whole = web.client.get(f"/api/v1/jobs/{job_id}/outcomes.json").json()
    assert [one["name"] for one in whole] == ["=1+1.jpg", "b.jpg"]
    lines = web.client.get(f"/api/v1/jobs/{job_id}/outcomes.jsonl").text.splitlines()
    assert [json.loads(line) for line in lines] == whole


@pytest.mark.usefixtures("worker")
def test_a_downloaded_csv_steers_no_terminal_and_no_spreadsheet_of_another_locale(
    web: WebProcess,
) -> None:
    name = "a;=cmd()\x1b[31m\u202egpj.jpg"
    head = f'--x\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'
    body = head.encode() + image_bytes("cat") + b"\r\n--x--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=x"}
    job_id = web.client.post("/api/v1/jobs", content=body, headers=kind).json()["job_id"]
    wait_until_done(web, job_id)
    text = web.client.get(f"/api/v1/jobs/{job_id}/outcomes.csv").content.decode("utf-8-sig")
    assert not {"\x1b", "\u202e"} & set(text)
    assert ";=" not in text
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["name"] == csv_text(name)
    (whole,) = web.client.get(f"/api/v1/jobs/{job_id}/outcomes.json").json()
    assert whole["name"] == name  # for programs, as it is


@pytest.mark.usefixtures("worker")
def test_failed_images_can_be_retried_and_refused_ones_stay(
    web: WebProcess, backend: MemoryBackend
) -> None:
    sent = [("images", ("bad.jpg", BROKEN)), ("images", ("notes.txt", b"text")), *files("cat")]
    job_id = web.client.post("/api/v1/jobs", files=sent).json()["job_id"]
    found = wait_until_done(web, job_id)
    assert found["failed"] == 2
    first = web.client.get(f"/api/v1/jobs/{job_id}").json()["images"][0]["outcome"]
    answer = web.client.post(f"/api/v1/jobs/{job_id}/retry")
    assert (answer.status_code, answer.json()) == (202, {"retried": 1})
    wait_until(
        lambda: (
            web.client.get(f"/api/v1/jobs/{job_id}").json()["images"][0]["outcome"]
            not in (None, first)
        )
    )
    again = wait_until_done(web, job_id)
    assert again["failed"] == 2
    images = again["images"]
    assert isinstance(images, list)
    assert images[0]["outcome"]["submitted_at"] > first["submitted_at"]
    assert images[1]["outcome"]["worker"] == "submit"
    assert backend.requests.depth().total == 0


def test_an_upload_waits_for_capacity_and_reports_what_it_accepted(
    serve: Serve, hire: Hire, backend: MemoryBackend
) -> None:
    web = serve(WebConfig(max_pending=40, capacity_wait_s=0.3))
    answer = web.client.post("/api/v1/jobs", files=files(*(f"l{n}" for n in range(100))))
    assert answer.status_code == 429
    problem = answer.json()
    assert problem["accepted"] == backend.requests.depth().total
    job = web.client.get(f"/api/v1/jobs/{problem['job_id']}").json()
    assert (job["state"], job["total"]) == ("open", problem["accepted"])
    # The client sends the rest later, because accepted images are not lost.
    hire()
    wait_until(
        lambda: web.client.get(f"/api/v1/jobs/{problem['job_id']}").json()["done"] == job["total"]
    )
    rest = files(*(f"l{n}" for n in range(problem["accepted"], 100)))
    address = f"/api/v1/jobs/{problem['job_id']}/images"
    wait_until(lambda: web.client.post(address, files=rest[:20]).status_code == 202)


def test_more_files_than_the_usual_thousand_are_taken(web: WebProcess) -> None:
    answer = web.client.post("/api/v1/jobs", files=files(*(f"l{n}" for n in range(1500))))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1500)


def test_too_many_files_are_refused_and_leave_at_most_a_cancelled_job(
    serve: Serve, backend: MemoryBackend
) -> None:
    web = serve(WebConfig(max_files=50))
    answer = web.client.post("/api/v1/jobs", files=files(*(f"l{n}" * 5000 for n in range(60))))
    assert answer.status_code == 413
    assert answer.json()["code"] == "too-many-files"
    (found,) = list_jobs(backend)
    assert found.job.cancelled
    assert answer.json()["job_id"] == found.job.job_id


@pytest.mark.parametrize(
    "job_id", ["x", "../x", "%2e%2e", "01kb3v9x4q0000000000000000", "Z" * 26, "\u202e"]
)
def test_a_missing_job_is_not_found(web: WebProcess, job_id: str) -> None:
    for path in ("", "/events", "/outcomes.csv", "/images/0", "/images/0/thumbnail"):
        answer = web.client.get(f"/api/v1/jobs/{job_id}{path}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_job_is_complete_after_its_server_was_replaced(serve: Serve, hire: Hire) -> None:
    first = serve()
    job_id = make_job(first, *(f"l{number}" for number in range(30)))
    first.stop()
    hire()
    second = serve()
    images = wait_until_done(second, job_id)["images"]
    assert isinstance(images, list)
    assert [one["outcome"]["label"] for one in images] == [f"l{number}" for number in range(30)]
