"""Following a job to its end: replies, lost replies, lost requests, drains and bounds."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest

from iraas.client.outcome_follower import OutcomeFollower
from iraas.client.submission import JobSubmission, SubmissionConfig
from iraas.core.ids import split_request_id
from iraas.core.jobs import ImageFile, Job
from iraas.core.keys import LAST_DECISION
from iraas.core.messages import decode_request, encode_reply
from iraas.core.outcomes import Outcome
from iraas.core.ports import OutboundMessage
from iraas.core.records import ScalingDecision
from iraas.errors import BackendError, BackendUnavailableError, WaitTimeoutError
from iraas.jobs.outcome_writer import CompletedRequest, OutcomeWriter
from iraas.jobs.store import create_job
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import REQUESTER, outcome, request
from tests.fakes.scripted_classifier import image_bytes

TOTAL = 30
QUICK = SubmissionConfig(wait_s=0.005, store_poll_s=3.0)


@dataclass
class Desk:
    """A deployment with a job, and the steps of a worker on it."""

    backend: FlakyBackend
    clock: Clock
    job: Job
    folder: Path

    def submission(self, pace: SubmissionConfig = QUICK) -> JobSubmission:
        return JobSubmission(
            self.backend,
            self.job,
            requester_id=REQUESTER,
            max_image_bytes=10**6,
            config=pace,
            clock=self.clock,
            now=self.clock,
        )

    def work(self, count: int = 10, *, reply: bool = True) -> list[int]:
        """Finish up to that many requests, as a worker would; return their indexes."""
        messages = self.backend.requests.receive(min(count, 10), lease_s=30.0)
        batch = []
        for message in messages:
            asked = decode_request(message.body)
            found = outcome(asked, asked.image[3:].decode() if asked.image else "stored")
            batch.append(CompletedRequest(asked, found, message.receipt))
        if not reply:
            self.backend.responses.delete(REQUESTER)
        OutcomeWriter(self.backend).finish(batch)
        if not reply:
            self.backend.responses.create(REQUESTER)
        return [split_request_id(one.request.request_id)[1] for one in batch]

    def lose_requests(self) -> None:
        self.backend.requests.clear()


@pytest.fixture
def desk(backend: FlakyBackend, clock: Clock, tmp_path: Path) -> Desk:
    images = []
    for index in range(TOTAL):
        path = tmp_path / f"{index:02d}.jpg"
        path.write_bytes(image_bytes(f"label-{index}"))
        images.append(ImageFile(path.name, str(path)))
    job = create_job(backend, images, sources=("images",), clock=clock)
    return Desk(backend, clock, job, tmp_path)


def follow(submission: JobSubmission, meanwhile: Callable[[], object]) -> list[Outcome]:
    """Take all outcomes; whenever a poll finds none, run the next step."""
    outcomes = []
    for one in submission.outcomes():
        if one is not None:
            outcomes.append(one)
        else:
            meanwhile()
    return outcomes


def indexes(outcomes: list[Outcome]) -> list[int]:
    return sorted(split_request_id(one.request_id)[1] for one in outcomes)


def test_every_outcome_comes_once(desk: Desk) -> None:
    submission = desk.submission()
    outcomes = follow(submission, desk.work)
    assert indexes(outcomes) == list(range(TOTAL))
    assert {one.name: one.prediction.label for one in outcomes if one.prediction} == {
        f"{index:02d}.jpg": f"label-{index}" for index in range(TOTAL)
    }
    assert submission.is_complete
    assert submission.done == TOTAL


def test_the_response_queue_is_gone_at_the_end(desk: Desk) -> None:
    follow(desk.submission(), desk.work)
    assert desk.backend.responses.requesters() == []


def test_the_response_queue_is_gone_after_a_failure_too(desk: Desk) -> None:
    with closing(cast("Generator[Outcome | None]", desk.submission().outcomes())) as outcomes:
        next(outcomes)
        assert desk.backend.responses.requesters() == [REQUESTER]
    assert desk.backend.responses.requesters() == []


def test_duplicate_and_foreign_replies_are_skipped(desk: Desk) -> None:
    def meanwhile() -> None:
        queue = desk.backend.responses.find(REQUESTER)
        done = desk.work(5)
        if done:
            (one, *_) = follower_of(desk).read_stored()
            mismatched = outcome(request(0))
            queue.send(
                [OutboundMessage(encode_reply(one)), OutboundMessage(encode_reply(mismatched))]
            )
            queue.send([OutboundMessage("{"), OutboundMessage(""), OutboundMessage("[" * 5000)])

    assert indexes(follow(desk.submission(), meanwhile)) == list(range(TOTAL))


def follower_of(desk: Desk) -> OutcomeFollower:
    return OutcomeFollower(desk.backend, desk.job)


def test_the_window_bounds_what_is_on_the_queue(desk: Desk) -> None:
    deepest = 0

    def meanwhile() -> None:
        nonlocal deepest
        deepest = max(deepest, desk.backend.requests.depth().total)
        desk.work(3)

    outcomes = follow(desk.submission(SubmissionConfig(window=7, wait_s=0.005)), meanwhile)
    assert len(outcomes) == TOTAL
    assert 0 < deepest <= 7


def test_outcomes_whose_replies_are_lost_are_found_in_the_store(desk: Desk) -> None:
    def meanwhile() -> None:
        if not desk.work(reply=False):
            desk.clock.advance(1.0)

    assert indexes(follow(desk.submission(), meanwhile)) == list(range(TOTAL))


def test_the_store_is_polled_only_after_some_silence(desk: Desk) -> None:
    polls = 0
    listed = desk.backend.outputs.list

    def counting(prefix: str = "", *, after: str = "") -> object:
        nonlocal polls
        polls += 1
        return listed(prefix, after=after)

    desk.backend.outputs.list = counting  # type: ignore[method-assign,assignment]
    follow(desk.submission(), desk.work)
    assert polls == 1


def test_the_interval_between_store_polls_doubles(desk: Desk) -> None:
    poll_times: list[float] = []
    listed = desk.backend.outputs.list

    def noting(prefix: str = "", *, after: str = "") -> object:
        poll_times.append(desk.clock.now)
        return listed(prefix, after=after)

    desk.backend.outputs.list = noting  # type: ignore[method-assign,assignment]

    def meanwhile() -> None:
        desk.clock.advance(0.5)

    with pytest.raises(WaitTimeoutError):
        follow(
            desk.submission(
                SubmissionConfig(wait_s=0.0, store_poll_s=3.0, no_progress_timeout_s=100.0)
            ),
            meanwhile,
        )
    pauses = [round(b - a, 1) for a, b in pairwise(poll_times)]
    assert pauses == [3.5, 6.5, 12.5, 24.5, 48.5]


def test_requests_that_are_lost_are_sent_again(desk: Desk) -> None:
    lost = False

    def meanwhile() -> None:
        nonlocal lost
        if not lost and desk.backend.requests.depth().total == TOTAL:
            desk.work(10)
            desk.lose_requests()
            lost = True
        elif lost and not desk.work():
            desk.clock.advance(1.0)

    assert indexes(follow(desk.submission(), meanwhile)) == list(range(TOTAL))


def test_lagging_counts_cause_no_resend_before_they_are_reliable(desk: Desk) -> None:
    queue = desk.backend.requests
    queue.lag_s, queue.seems_empty = 150.0, True
    sent: list[tuple[float, int]] = []

    def meanwhile() -> None:
        desk.clock.advance(1.0)
        queue.seems_empty = False
        sent.append((desk.clock() - began, queue.depth().total))
        queue.seems_empty = True
        if sent[-1][1] > TOTAL:
            while desk.work():
                pass

    began = desk.clock()
    assert indexes(follow(desk.submission(), meanwhile)) == list(range(TOTAL))
    again = next(at for at, total in sent if total > TOTAL)
    assert again > queue.lag_s


def test_requests_lost_while_the_window_is_full_do_not_stop_the_rest(desk: Desk) -> None:
    losses = 0

    def meanwhile() -> None:
        nonlocal losses
        if losses < 2 and desk.backend.requests.depth().total >= 5:
            desk.lose_requests()
            losses += 1
        elif losses and not desk.work():
            desk.clock.advance(1.0)

    pace = SubmissionConfig(window=8, wait_s=0.005, store_poll_s=3.0)
    assert indexes(follow(desk.submission(pace), meanwhile)) == list(range(TOTAL))
    assert losses == 2


def test_nothing_is_sent_again_while_a_worker_holds_it(desk: Desk) -> None:
    seen: list[int] = []

    def meanwhile() -> None:
        if not seen:
            if desk.backend.requests.depth().total == TOTAL:
                seen.append(TOTAL)
                desk.backend.requests.receive(10, lease_s=40_000.0)
            return
        desk.clock.advance(10.0)
        seen.append(desk.backend.requests.depth().total)

    with pytest.raises(WaitTimeoutError):
        follow(
            desk.submission(SubmissionConfig(wait_s=0.0, no_progress_timeout_s=500.0)), meanwhile
        )
    assert set(seen) == {TOTAL}


def test_a_resumed_job_sends_only_what_is_missing(desk: Desk) -> None:
    taken: list[Outcome] = []
    with closing(cast("Generator[Outcome | None]", desk.submission().outcomes())) as first:
        for one in first:
            if one is None:
                desk.work(10 - len(taken))
            else:
                taken.append(one)
            if len(taken) == 10:
                break
    desk.lose_requests()

    sent: list[int] = []

    def meanwhile() -> None:
        sent.extend(desk.work())

    outcomes = follow(desk.submission(), meanwhile)
    assert indexes(outcomes) == list(range(TOTAL))
    assert sorted(sent) == list(range(10, TOTAL))


def test_a_job_that_is_done_is_followed_without_sending_anything(desk: Desk) -> None:
    follow(desk.submission(), desk.work)
    again = follow(desk.submission(), lambda: pytest.fail("it waits"))
    assert indexes(again) == list(range(TOTAL))
    assert desk.backend.requests.depth().total == 0


def test_files_that_cannot_be_images_become_failures(desk: Desk) -> None:
    (desk.folder / "03.jpg").unlink()
    (desk.folder / "05.jpg").write_bytes(b"hello")
    outcomes = follow(desk.submission(), desk.work)
    assert {one.name for one in outcomes if one.status == "failed"} == {"03.jpg", "05.jpg"}
    assert len(outcomes) == TOTAL


def test_a_job_of_nothing_but_bad_files_ends_too(desk: Desk) -> None:
    for path in desk.folder.glob("*.jpg"):
        path.write_bytes(b"")
    outcomes = follow(desk.submission(), lambda: None)
    assert {one.reason for one in outcomes} == {"the file is empty"}
    assert len(outcomes) == TOTAL


def test_a_drained_submission_ends_when_sent_images_are_done(desk: Desk) -> None:
    submission = desk.submission(SubmissionConfig(window=8, wait_s=0.005))

    def meanwhile() -> None:
        if desk.backend.requests.depth().total == 8:
            submission.drain()
        if submission._draining:
            desk.work()

    outcomes = follow(submission, meanwhile)
    assert indexes(outcomes) == list(range(8))
    assert not submission.is_complete
    assert desk.backend.requests.depth().total == 0


def test_a_drained_submission_does_not_wait_for_lost_images(desk: Desk) -> None:
    submission = desk.submission(SubmissionConfig(window=8, wait_s=0.005))

    def meanwhile() -> None:
        if desk.backend.requests.depth().total == 8:
            submission.drain()
            desk.lose_requests()
        desk.clock.advance(0.5)

    assert follow(submission, meanwhile) == []


def test_it_gives_up_when_nothing_comes_for_too_long(desk: Desk) -> None:
    pace = SubmissionConfig(wait_s=0.0, no_progress_timeout_s=60.0)
    with pytest.raises(WaitTimeoutError, match=r"no outcome came for 6\d s"):
        follow(desk.submission(pace), lambda: desk.clock.advance(1.0))


def test_it_gives_up_at_its_timeout_despite_progress(desk: Desk) -> None:
    def meanwhile() -> None:
        desk.work(1)
        desk.clock.advance(2.0)

    pace = SubmissionConfig(wait_s=0.005, timeout_s=20.0)
    with pytest.raises(WaitTimeoutError, match="not done within 20 s"):
        follow(desk.submission(pace), meanwhile)


def test_it_gives_up_when_no_worker_can_work(desk: Desk) -> None:
    decision = ScalingDecision(1.0, 1, 0, 0, 0, 0, 1, 0, "no disk", broken_in_a_row=3)
    desk.backend.records.put(LAST_DECISION, decision.encode())
    with pytest.raises(BackendError, match="the workers cannot work: no disk") as caught:
        follow(desk.submission(), lambda: desk.clock.advance(1.0))
    assert "iraas doctor" in caught.value.remedy


def test_a_failure_to_send_ends_it_with_that_failure(desk: Desk) -> None:
    desk.backend.requests.failures = 1
    with pytest.raises(BackendUnavailableError, match="unavailable for a moment"):
        follow(desk.submission(), lambda: None)
