"""Event streams: live, resumable, and no burden for other requests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest

from iraas.backends.memory import MemoryBackend
from iraas.core.index_set import IndexSet
from iraas.web.config import WebConfig
from tests.fakes.scripted_classifier import BROKEN
from tests.functional.web.test_jobs import files, make_job
from tests.functional.web.web_process import Event, Serve, WebProcess, Worker, event_of, read_events
from tests.waiting import PATIENCE_S, join, wait_until

Hire = Callable[[], Worker]


@contextmanager
def following(web: WebProcess, address: str, **headers: str) -> Iterator[Iterator[Event]]:
    """The events of a stream as they come."""
    with web.client.stream("GET", address, headers=headers, timeout=PATIENCE_S) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer)


def _events(answer: httpx2.Response) -> Iterator[Event]:
    rest = ""
    for text in answer.iter_text():
        *blocks, rest = (rest + text).split("\n\n")
        yield from (event_of(block) for block in blocks if "event:" in block)


def labels_of(events: list[Event]) -> list[str]:
    found = [json.loads(one.data) for one in events if one.name == "outcomes"]
    return [outcome["label"] for outcomes in found for outcome in outcomes]


@pytest.mark.usefixtures("worker")
def test_a_stream_sends_each_outcome_once_then_progress_then_the_end(web: WebProcess) -> None:
    job_id = make_job(web, *(f"l{number}" for number in range(25)))
    events = read_events(web.client.get(f"/api/v1/jobs/{job_id}/events"))
    assert sorted(labels_of(events)) == sorted(f"l{number}" for number in range(25))
    assert events[-1].name == "end"
    assert json.loads(events[-1].data)["done"] == 25
    progress = [json.loads(one.data) for one in events if one.name == "progress"]
    assert [one["done"] for one in progress] == sorted(one["done"] for one in progress)


def test_outcomes_arrive_while_the_worker_works(web: WebProcess, worker: Worker) -> None:
    worker.classifier.gate.clear()
    job_id = make_job(web, "cat", "dog")
    with following(web, f"/api/v1/jobs/{job_id}/events") as events:
        assert json.loads(next(events).data)["done"] == 0
        worker.classifier.gate.set()
        found = list(events)
    assert sorted(labels_of(found)) == ["cat", "dog"]


def test_a_stream_resumes_on_another_server(serve: Serve, hire: Hire) -> None:
    first = serve()
    job_id = make_job(first, *(f"l{number}" for number in range(10)))
    address = f"/api/v1/jobs/{job_id}/events"
    hire()
    before = read_events(first.client.get(address))
    have = next(one.identity for one in before if one.name == "outcomes")
    first.stop()
    second = serve()
    seen = IndexSet.decode(have)
    rest = read_events(second.client.get(address, headers={"last-event-id": have}))
    labels = labels_of([one for one in before if one.identity == have]) + labels_of(rest)
    assert len(seen) + len(labels_of(rest)) == 10
    assert sorted(labels) == sorted(f"l{number}" for number in range(10))
    assert labels_of(read_events(second.client.get(address, params={"seen": "0-9"}))) == []


@pytest.mark.usefixtures("worker")
def test_a_corrupt_cursor_restarts_the_stream(web: WebProcess) -> None:
    job_id = make_job(web, "cat")
    for cursor in ("nonsense", "9-1", "1,1", "0-99999999999999", "-5"):
        answer = web.client.get(f"/api/v1/jobs/{job_id}/events", headers={"last-event-id": cursor})
        assert labels_of(read_events(answer)) == ["cat"], cursor


def test_a_stream_on_another_server_learns_from_the_store(serve: Serve, hire: Hire) -> None:
    accepting, watching = serve(), serve()
    job_id = make_job(accepting, "cat", "dog")
    with following(watching, f"/api/v1/jobs/{job_id}/events") as events:
        assert json.loads(next(events).data)["done"] == 0
        hire()
        assert sorted(labels_of(list(events))) == ["cat", "dog"]


def test_a_stream_notices_a_retry_on_another_server(serve: Serve, hire: Hire) -> None:
    one, other = serve(), serve()
    hire()
    sent = [*files("cat"), ("images", ("bad.jpg", BROKEN))]
    job_id = one.client.post("/api/v1/jobs", files=sent).json()["job_id"]
    address = f"/api/v1/jobs/{job_id}/events"
    read_events(one.client.get(address))
    first = one.client.get(f"/api/v1/jobs/{job_id}").json()["images"][1]["outcome"]
    assert other.client.post(f"/api/v1/jobs/{job_id}/retry").json() == {"retried": 1}
    events = read_events(one.client.get(address, params={"seen": "0"}))
    again = json.loads(next(event.data for event in events if event.name == "outcomes"))[0]
    assert again["status"] == "failed"
    wait_until(
        lambda: (
            one.client.get(f"/api/v1/jobs/{job_id}").json()["images"][1]["outcome"]["submitted_at"]
            > first["submitted_at"]
        )
    )


def test_a_stream_follows_a_cancelled_job_until_images_in_flight_are_done(
    web: WebProcess, hire: Hire
) -> None:
    job_id = make_job(web, "cat", "dog")
    web.client.post(f"/api/v1/jobs/{job_id}/cancel")
    with following(web, f"/api/v1/jobs/{job_id}/events") as events:
        first = json.loads(next(events).data)
        assert (first["state"], first["done"]) == ("cancelled", 0)
        hire()
        rest = list(events)
    assert sorted(labels_of(rest)) == ["cat", "dog"]
    last = json.loads(rest[-1].data)
    assert (rest[-1].name, last["state"], last["cancelled"]) == ("end", "done", True)


def test_a_stopping_server_does_not_wait_for_streams(serve: Serve) -> None:
    """Their time to drain is longer than this test waits."""
    web = serve(WebConfig(shutdown_timeout_s=2 * PATIENCE_S))
    job_id = make_job(web, "cat")
    opened = threading.Barrier(5)

    def watch() -> None:
        with following(web, f"/api/v1/jobs/{job_id}/events") as events:
            next(events)
            opened.wait(PATIENCE_S)
            list(events)

    watchers = [threading.Thread(target=watch) for _ in range(4)]
    for one in watchers:
        one.start()
    opened.wait(PATIENCE_S)
    web.server.stop()
    join(*watchers)


def test_streams_beyond_the_limit_get_a_retry_time(serve: Serve) -> None:
    web = serve(WebConfig(max_streams=1))
    job_id = make_job(web, "cat")
    with following(web, f"/api/v1/jobs/{job_id}/events") as events:
        next(events)
        refused = web.client.get("/api/v1/status/events")
        assert refused.status_code == 429
        assert "retry-after" in refused.headers


def test_the_status_is_streamed_when_it_changes(web: WebProcess, backend: MemoryBackend) -> None:
    with following(web, "/api/v1/status/events") as events:
        assert json.loads(next(events).data)["queue"]["visible"] == 0
        make_job(web, "cat", "dog")
        assert json.loads(next(events).data)["queue"]["visible"] == 2
