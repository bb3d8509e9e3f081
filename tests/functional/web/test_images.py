"""The images of a job, as they were sent and as thumbnails."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from iraas.backends.memory import MemoryBackend
from iraas.web.config import WebConfig
from tests.fakes.scripted_classifier import image_bytes
from tests.functional.web.web_process import Serve, WebProcess, Worker, start_web
from tests.waiting import wait_until

MAX_PIXELS = 2_000_000


@pytest.fixture(scope="module")
def web() -> Iterator[WebProcess]:
    """A shared web tier with a worker: one process makes its thumbnails."""
    backend = MemoryBackend()
    web = start_web(backend, WebConfig(max_pixels=MAX_PIXELS))
    worker = Worker(backend)
    yield web
    worker.stop()
    web.stop()


def encoded(kind: str, size: tuple[int, int], colour: str = "red", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind, **options)
    return file.getvalue()


def send(web: WebProcess, name: str, data: bytes) -> str:
    job_id = web.client.post("/api/v1/jobs", files={"f": (name, data)}).json()["job_id"]
    address = f"/api/v1/jobs/{job_id}/images/0"
    wait_until(lambda: web.client.get(address).status_code == 200)
    return address


def test_an_image_comes_back_as_it_was_sent_as_a_download(web: WebProcess) -> None:
    address = send(web, "holiday/beach.png", image_bytes("cat"))
    answer = web.client.get(address)
    assert answer.content == image_bytes("cat")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''beach.png.jpg"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert web.client.get(address[:-1] + "1").status_code == 404


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_has_a_small_jpeg(web: WebProcess, kind: str) -> None:
    address = send(web, "a", encoded(kind, (900, 600)))
    answer = web.client.get(f"{address}/thumbnail")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(answer.content)) as small:
        assert small.size == (320, 213)


def test_a_thumbnail_is_upright(web: WebProcess) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the right
    address = send(web, "a.jpg", encoded("JPEG", (800, 400), exif=exif))
    answer = web.client.get(f"{address}/thumbnail")
    with Image.open(io.BytesIO(answer.content)) as small:
        assert small.size == (160, 320)


def test_transparent_pixels_of_a_thumbnail_are_white(web: WebProcess) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(file, "PNG")
    address = send(web, "a.png", file.getvalue())
    answer = web.client.get(f"{address}/thumbnail")
    with Image.open(io.BytesIO(answer.content)) as small:
        assert small.getpixel((5, 5)) == (255, 255, 255)


def test_a_bomb_or_a_broken_image_has_no_thumbnail_and_does_not_affect_others(
    web: WebProcess,
) -> None:
    bomb = encoded("PNG", (2000, 1001))
    for data in (bomb, image_bytes("broken and more")):
        address = send(web, "a", data)
        answer = web.client.get(f"{address}/thumbnail")
        assert (answer.status_code, answer.json()["code"]) == (404, "no-thumbnail")
    address = send(web, "a", encoded("JPEG", (500, 500)))
    assert web.client.get(f"{address}/thumbnail").status_code == 200


@pytest.mark.usefixtures("worker")
def test_images_over_their_cpu_time_do_not_delay_thumbnails_of_another_job(
    serve: Serve,
) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (4000, 4000, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, progressive=True)
    web = serve(WebConfig(image_cpu_s=0.1))
    slow = [send(web, "slow.jpg", file.getvalue()) for _ in range(4)]
    honest = send(web, "honest.png", encoded("PNG", (500, 500)))
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda one: web.client.get(f"{one}/thumbnail"), [*slow, honest]))
    assert [one.status_code for one in answers] == [404, 404, 404, 404, 200]
