"""The headline that states the progress of a job."""

import pytest

from iraas.web.pages.pages import headline


@pytest.mark.parametrize(
    ("state", "total", "done", "failed", "words"),
    [
        ("open", 0, 0, 0, "Waiting for the first image"),
        ("open", 7, 2, 0, "2 of 7"),
        ("working", 1200, 1100, 3, "1,100 of 1,200, 3 failed"),
        ("done", 6, 6, 1, "Done: 5 labelled, 1 failed"),
        ("done", 6, 6, 0, "Done: 6 labelled"),
        ("done", 2, 2, 2, "Done: 2 failed"),
        ("done", 0, 0, 0, "Done: no images"),
    ],
)
def test_a_headline_shows_the_progress_of_a_job(
    state: str, total: int, done: int, failed: int, words: str
) -> None:
    counts = {"total": total, "done": done, "failed": failed}
    job = {"state": state, "cancelled": False, "is_counted": True, **counts}
    assert headline(job) == words


def test_a_cancelled_job_shows_images_in_flight_and_then_their_outcomes() -> None:
    job = {"state": "cancelled", "cancelled": True, "is_counted": True}
    job |= {"total": 300, "done": 68, "failed": 0}
    assert headline(job) == "Cancelled: 68 of 300 done, 232 were already queued"
    job |= {"state": "done", "done": 300, "failed": 2}
    assert headline(job) == "Cancelled: 298 labelled, 2 failed"


def test_failures_that_are_not_counted_yet_are_not_guessed() -> None:
    job = {"state": "done", "cancelled": False, "is_counted": False}
    assert headline(job | {"total": 9000, "done": 9000, "failed": 4}) == "Done: 9,000 images"
