"""The web tier with real processes: cold starts and crashes."""

import json
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.functional.cli.deployment import Deployment
from tests.functional.web.real_web import CLIENTS, RealWeb
from tests.waiting import PATIENCE_S, wait_until

Photos = list[tuple[Path, str, int]]
FILE = b'--x\r\nContent-Disposition: form-data; name="f"; filename="%d.jpg"\r\n\r\n'


@pytest.fixture
def deployment(tmp_path: Path, bundle_path: Path) -> Iterator[Deployment]:
    one = Deployment(tmp_path, bundle_path)
    one.environment |= {"IRAAS_MAX_WORKERS": "2", "IRAAS_LEASE_S": "2"}
    yield one
    assert one.stop() == []


def hundred(photos: Photos) -> list[tuple[str, Path]]:
    return [(f"{n}-{photos[n % len(photos)][0].name}", photos[n % 20][0]) for n in range(CLIENTS)]


def labels_by_photo(web: RealWeb, photos: Photos) -> dict[Path, str]:
    """The label of each photo when it is classified alone, without load."""
    return {path: web.ask("x", path).partition(":")[2] for path, _, _ in photos}


def workers(deployment: Deployment) -> list[psutil.Process]:
    return [one for one in deployment.processes() if "classifier_process" in _command(one)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_readme_asks_with_curl(deployment: Deployment, photos: Photos) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    found = re.search(r"^(curl -F .*?) +# (.*)$", readme, re.MULTILINE)
    assert found
    web = RealWeb(deployment)
    try:
        command = found[1].replace("http://127.0.0.1:8000", str(web.client.base_url))
        done = subprocess.run(
            command.split(), cwd=photos[0][0].parent, capture_output=True, text=True, check=True
        )
    finally:
        assert web.stop() == 0
    assert done.stdout == found[2]


def test_the_settings_hold_in_the_running_server(deployment: Deployment, photos: Photos) -> None:
    image = photos[0][0].read_bytes()
    web = RealWeb(
        deployment,
        "--no-controller",
        "--webhook-hosts",
        "example.org",
        IRAAS_WEBHOOK_SECRET="hush",
        IRAAS_MAX_PENDING="1",
        IRAAS_MAX_IMAGE_BYTES=str(len(image)),
    )

    def send(webhook: str) -> tuple[int, str]:
        answer = web.client.post(
            "/api/v1/jobs", params={"webhook": webhook}, files={"image": ("a.jpg", image)}
        )
        return answer.status_code, answer.json().get("code", "")

    try:
        assert send("http://example.com") == (422, "bad-webhook")
        too_large = web.client.post("/api/v1/classify", content=image + b"x")
        assert (too_large.status_code, too_large.json()["code"]) == (413, "image-too-large")
        assert send("http://example.org") == (202, "")
        wait_until(lambda: send("http://example.org") == (429, "busy"), "the limit is felt")
    finally:
        assert web.stop() == 0


def test_nothing_is_lost_while_workers_and_the_response_queue_fail_in_turn(
    deployment: Deployment, photos: Photos
) -> None:
    web = RealWeb(deployment)
    sent = hundred(photos)
    over = threading.Event()
    responses = deployment.home / "iraas" / "queues" / "responses"
    struck = [0, 0]

    def strike() -> None:
        chance = random.Random(1)
        while not over.wait(0.7 if struck[0] else 0.01):
            victims = workers(deployment)
            if victims and struck[0] < 4:
                _kill(chance.choice(victims))
                struck[0] += 1
            if over.wait(0.4 if struck[1] else 0.01):
                return
            for folder in responses.glob("web-*") if struck[1] < 3 else ():
                shutil.rmtree(folder, ignore_errors=True)
                struck[1] += 1

    striking = threading.Thread(target=strike)
    striking.start()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda one: web.ask(*one), sent))
    over.set()
    striking.join()
    assert struck[0], "no worker was killed: the test proves nothing"
    assert struck[1], "no queue was removed: the test proves nothing"
    expected = labels_by_photo(web, photos)
    assert answers == [f"{name}:{expected[path]}" for name, path in sent]
    right = sum(expected[path] == label for path, label, _ in photos)
    assert right >= 19
    assert web.stop() == 0
    assert not [line for line in web.said if "Traceback" in line]


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def test_one_of_two_servers_under_load_dies_and_the_other_answers_everybody(
    deployment: Deployment, photos: Photos
) -> None:
    survivor, victim = RealWeb(deployment), RealWeb(deployment)
    expected = labels_by_photo(survivor, photos)
    sent = hundred(photos)
    job = victim.client.post(
        "/api/v1/jobs", files=[("f", (name, path.read_bytes())) for name, path in sent[:40]]
    ).json()

    def ask_victim(name: str, path: Path) -> str:
        try:
            return victim.ask(name, path)
        except httpx2.HTTPError:
            return "lost"

    with ThreadPoolExecutor(40) as clients:
        lost = [clients.submit(ask_victim, *one) for one in sent[:20]]
        asked = [clients.submit(survivor.ask, *one) for one in sent]
        wait([*asked, *lost], PATIENCE_S, FIRST_COMPLETED)
        is_early = not all(one.done() for one in lost)
        victim.kill()
        answers = [one.result(PATIENCE_S) for one in asked]
    assert is_early, "all had their answers already: the test proves nothing"
    assert answers == [f"{name}:{expected[path]}" for name, path in sent]
    right = {f"{name}:{expected[path]}" for name, path in sent[:20]} | {"lost"}
    assert {one.result() for one in lost} <= right
    again = RealWeb(deployment)
    address = f"/api/v1/jobs/{job['job_id']}"
    wait_until(lambda: again.client.get(address).json()["state"] == "done")
    page = again.client.get(address, params={"limit": 200}).json()
    found = {one["name"]: one["outcome"]["label"] for one in page["images"]}
    assert found == {name: expected[path] for name, path in sent[:40]}
    assert again.client.get(job["url"]).status_code == 200
    again.stop()
    survivor.stop()


def test_a_slow_upload_gets_its_accepted_images_when_the_server_is_signalled(
    deployment: Deployment, photos: Photos
) -> None:
    web = RealWeb(deployment, "--no-controller")
    image = photos[0][0].read_bytes()
    url = web.client.base_url
    with (
        socket.create_connection((url.host, url.port), PATIENCE_S) as raw,
        closing(deployment.open()) as backend,
    ):
        raw.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        for number in range(40):
            raw.sendall(FILE % number + image + b"\r\n")
        wait_until(lambda: backend.requests.depth().total >= 32)
        web.process.send_signal(signal.SIGTERM)
        raw.settimeout(0.2)
        answer = _drip_until_answered(raw)
    web.join()
    assert web.process.returncode == 0
    assert not [line for line in web.said if "Traceback" in line]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"retry-after:" in head.lower()
    assert b"connection: close" in head.lower()
    problem = json.loads(body)
    assert (problem["code"], problem["accepted"]) == ("stopping", 32)
    again = RealWeb(deployment, "--no-controller")
    job = again.client.get(f"/api/v1/jobs/{problem['job_id']}").json()
    assert (job["state"], job["total"]) == ("open", 32)
    assert again.stop() == 0


def _drip_until_answered(raw: socket.socket) -> bytes:
    answer = b""

    def is_answered() -> bool:
        nonlocal answer
        try:
            part = raw.recv(65536)
        except TimeoutError:
            raw.sendall(b"x")
            return False
        answer += part
        return not part or answer.endswith(b"}")

    wait_until(is_answered, "an answer")
    return answer


def test_a_signal_ends_the_server_cleanly_with_an_open_event_stream(
    deployment: Deployment, photos: Photos
) -> None:
    web = RealWeb(deployment)
    job = web.client.post("/api/v1/jobs?open=true").json()["job_id"]
    files = {"f": ("a.jpg", photos[0][0].read_bytes())}
    web.client.post(f"/api/v1/jobs/{job}/images", files=files)
    with web.client.stream("GET", f"/api/v1/jobs/{job}/events") as events:
        next(events.iter_lines())
        web.process.send_signal(signal.SIGTERM)
        try:
            assert web.process.wait(PATIENCE_S) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("the open stream held the server")
    web.join()
