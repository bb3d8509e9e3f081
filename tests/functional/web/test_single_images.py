"""Single images with synchronous answers."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.client.reply_listener import ReplyListenerConfig
from iraas.jobs.store import iter_manifest, list_jobs
from iraas.web.config import WebConfig
from tests.fakes.scripted_classifier import BROKEN, image_bytes
from tests.functional.web.web_process import Serve, WebProcess, Worker
from tests.waiting import PATIENCE_S, wait_until

JPEG = {"content-type": "image/jpeg"}
Hire = Callable[[], Worker]


@pytest.mark.usefixtures("worker")
def test_an_image_as_the_whole_body_is_answered_with_its_stored_outcome(
    web: WebProcess, backend: MemoryBackend
) -> None:
    answer = web.client.post(
        "/api/v1/classify?name=mittens.jpg", content=image_bytes("cat"), headers=JPEG
    )
    assert answer.status_code == 200
    outcome = answer.json()
    assert (outcome["name"], outcome["status"], outcome["label"]) == ("mittens.jpg", "ok", "cat")
    assert len(list(backend.outputs.list())) == 1
    assert len(list(backend.inputs.list())) == 1


@pytest.mark.usefixtures("worker")
def test_an_image_in_a_form_is_answered_by_its_file_name(web: WebProcess) -> None:
    answer = web.client.post("/api/v1/classify", files={"x": ("a/b c.jpg", image_bytes("dog"))})
    assert answer.json()["name"] == "a/b c.jpg"
    assert answer.json()["label"] == "dog"


@pytest.mark.usefixtures("worker")
def test_a_broken_image_is_answered_with_its_failure(web: WebProcess) -> None:
    answer = web.client.post("/api/v1/classify", content=BROKEN, headers=JPEG)
    assert answer.status_code == 200
    assert answer.json()["status"] == "failed"
    assert answer.json()["reason"] == "the image is broken"


def test_a_file_that_is_not_an_image_is_refused_and_never_queued(
    web: WebProcess, backend: MemoryBackend
) -> None:
    for body, status in ((b"", 422), (b"plain text", 422), (b"x" * 60_000_000, 413)):
        answer = web.client.post("/api/v1/classify", content=body, headers=JPEG)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert backend.requests.depth().total == 0


def test_a_client_that_does_not_wait_gets_a_ticket_that_outlives_the_server(
    serve: Serve, hire: Hire
) -> None:
    first = serve()
    answer = first.client.post(
        "/api/v1/classify?wait_s=0", content=image_bytes("owl"), headers=JPEG
    )
    assert answer.status_code == 202
    address = answer.headers["location"]
    assert first.client.get(address).status_code == 202
    first.stop()
    second = serve()
    hire()
    wait_until(lambda: second.client.get(address).status_code == 200)
    assert second.client.get(address).json()["label"] == "owl"


@pytest.mark.usefixtures("worker")
def test_a_ticket_of_somebody_else_cannot_be_guessed_from_an_outcome(web: WebProcess) -> None:
    outcome = web.client.post("/api/v1/classify", content=image_bytes("cat"), headers=JPEG).json()
    shared = outcome["job_id"]
    for address in (
        f"/api/v1/jobs/{shared}",
        f"/api/v1/jobs/{shared}/events",
        f"/api/v1/jobs/{shared}/outcomes.csv",
        f"/api/v1/jobs/{shared}/images/0",
        f"/api/v1/jobs/{shared}/images/0/thumbnail",
        f"/jobs/{shared}",
        f"/api/v1/tickets/{shared}",
        f"/api/v1/tickets/{outcome['request_id']}",
    ):
        assert web.client.get(address).status_code == 404, address
    for method, path in (("DELETE", ""), ("POST", "/retry"), ("POST", "/seal")):
        address = f"/api/v1/jobs/{shared}{path}"
        assert web.client.request(method, address).status_code == 404, address


@pytest.mark.usefixtures("worker")
def test_a_hundred_concurrent_requests_each_get_their_own_answer(web: WebProcess) -> None:
    def ask(number: int) -> str:
        file = (f"n{number}.jpg", image_bytes(f"label-{number}"))
        return web.client.post("/", files={"inputFile": file}).text

    with ThreadPoolExecutor(100) as clients:
        answers = list(clients.map(ask, range(100)))
    assert answers == [f"n{number}.jpg:label-{number}" for number in range(100)]


@pytest.mark.usefixtures("worker")
def test_a_failure_is_no_label_for_the_workload_generator(web: WebProcess) -> None:
    answer = web.client.post("/", files={"inputFile": ("x.jpg", BROKEN)})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "the image is broken"


def test_two_servers_never_receive_each_others_answers(serve: Serve, hire: Hire) -> None:
    servers = [serve(), serve()]
    hire()

    def ask(number: int) -> str:
        client = servers[number % 2].client
        return client.post("/", files={"f": (str(number), image_bytes(f"l{number}"))}).text

    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(ask, range(60)))
    assert answers == [f"{number}:l{number}" for number in range(60)]


def test_an_answer_comes_from_the_store_when_the_response_queue_is_lost(
    web: WebProcess, hire: Hire, backend: MemoryBackend
) -> None:
    web.server._server._state.reply_listener._config = ReplyListenerConfig(
        wait_s=0.1, store_poll_s=0.1
    )
    answers: list[str] = []

    def ask() -> None:
        answers.append(web.client.post("/", files={"f": ("a.jpg", image_bytes("fox"))}).text)

    client = threading.Thread(target=ask)
    client.start()
    wait_until(lambda: backend.requests.depth().total == 1)
    for requester in backend.responses.requesters():
        backend.responses.delete(requester)
    hire()
    client.join(PATIENCE_S)
    assert answers == ["a.jpg:fox"]
    # Later requests get replies again, on another queue.
    assert web.client.post("/", files={"f": ("b.jpg", image_bytes("elk"))}).text == "b.jpg:elk"


def test_single_images_are_a_job_that_the_command_line_sees(
    serve: Serve, hire: Hire, backend: MemoryBackend
) -> None:
    web = serve()
    hire()
    for number in range(3):
        web.client.post("/", files={"f": (f"{number}.jpg", image_bytes("cat"))})
    web.stop()
    (job,) = [one.job for one in list_jobs(backend)]
    assert (job.total, job.sealed, job.sources) == (3, True, ("single requests",))
    assert [one.name for one in iter_manifest(backend, job)] == ["0.jpg", "1.jpg", "2.jpg"]


def test_past_the_limit_of_pending_images_clients_get_a_retry_time(
    serve: Serve, backend: MemoryBackend, hire: Hire
) -> None:
    web = serve(WebConfig(max_pending=5))
    tickets = [
        web.client.post(
            "/api/v1/classify?wait_s=0", content=image_bytes(f"l{number}"), headers=JPEG
        ).json()["url"]
        for number in range(5)
    ]
    refused = web.client.post("/api/v1/classify", content=image_bytes("late"), headers=JPEG)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert backend.requests.depth().total == 5
    hire()
    wait_until(lambda: all(web.client.get(one).status_code == 200 for one in tickets))
    labels = {web.client.get(one).json()["label"] for one in tickets}
    assert labels == {f"l{number}" for number in range(5)}
    wait_until(
        lambda: (
            web.client.post(
                "/api/v1/classify", content=image_bytes("late"), headers=JPEG
            ).status_code
            == 200
        )
    )


def test_a_stopping_server_answers_waiting_clients_with_tickets(
    serve: Serve, backend: MemoryBackend
) -> None:
    web = serve(WebConfig(shutdown_timeout_s=0.2))
    statuses: list[int] = []

    def ask() -> None:
        answer = web.client.post("/api/v1/classify", content=image_bytes("cat"), headers=JPEG)
        statuses.append(answer.status_code)

    clients = [threading.Thread(target=ask) for _ in range(5)]
    for client in clients:
        client.start()
    wait_until(lambda: backend.requests.depth().total == 5)
    web.server.stop()
    for client in clients:
        client.join(PATIENCE_S)
    assert statuses == [202] * 5
