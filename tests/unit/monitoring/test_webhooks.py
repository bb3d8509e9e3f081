"""Webhooks: delivered once, retried, taken over, given up."""

import json

import pytest

from iraas.client.sender import Sender
from iraas.core.keys import WEBHOOKS, outcome_key
from iraas.jobs.uploads import JobRepository
from iraas.monitoring.job_progress_cache import JobProgressCache
from iraas.monitoring.webhooks import CLAIM_S, MAX_ATTEMPTS, WebhookDispatcher
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import outcome
from tests.fakes.scripted_classifier import image_bytes

URL = "https://example.com/hook"


class Post:
    """Accepts deliveries; the first few fail."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.taken: list[dict[str, object]] = []
        self.tries = 0

    def __call__(self, url: str, body: bytes) -> None:
        self.tries += 1
        assert url == URL
        if self.tries <= self.failures:
            raise OSError("nobody answers")
        self.taken.append(json.loads(body))


class Shop:
    def __init__(self) -> None:
        self.clock = Clock()
        self.backend = FlakyBackend(self.clock)
        uploads = JobRepository(self.backend, self.clock)
        self.job_id = uploads.open().job_id
        uploads.add(self.job_id, ["a"])
        self.job = uploads.seal(self.job_id)

    def webhooks(self, post: Post) -> WebhookDispatcher:
        return WebhookDispatcher(
            self.backend, JobProgressCache(self.backend, self.clock), post, self.clock
        )

    def finish(self) -> None:
        sender = Sender(self.backend, self.job, reply_to="", clock=self.clock)
        found = outcome(sender._request(0, "a", image=image_bytes("cat")))
        self.backend.outputs.put(outcome_key(found.request_id), found.encode())

    def run(self, webhooks: WebhookDispatcher, seconds: int) -> None:
        for _ in range(0, seconds, 2):
            self.clock.advance(2)
            webhooks.run()

    def noted(self) -> int:
        return len(list(self.backend.records.list(WEBHOOKS)))


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_the_end_of_a_job_is_delivered_once(shop: Shop) -> None:
    post = Post()
    webhooks = shop.webhooks(post)
    webhooks.add(shop.job_id, URL)
    shop.run(webhooks, 20)
    assert not post.taken
    shop.finish()
    shop.run(webhooks, 20)
    assert [(one["state"], one["done"], one["total"]) for one in post.taken] == [("done", 1, 1)]
    assert shop.noted() == 0


def test_failed_deliveries_back_off_exponentially_and_are_given_up(shop: Shop) -> None:
    post = Post(failures=MAX_ATTEMPTS)
    webhooks = shop.webhooks(post)
    webhooks.add(shop.job_id, URL)
    shop.finish()
    shop.run(webhooks, 30)
    assert 2 <= post.tries <= 4
    shop.run(webhooks, 2000)
    assert post.tries == MAX_ATTEMPTS
    assert shop.noted() == 0


def test_another_process_takes_over_when_the_first_is_gone_and_not_before(shop: Shop) -> None:
    first, second = Post(), Post()
    webhooks = shop.webhooks(first)
    webhooks.add(shop.job_id, URL)
    other = shop.webhooks(second)
    shop.run(other, 60)
    shop.finish()
    shop.run(other, 60)
    assert not second.taken
    shop.run(other, int(CLAIM_S) + 120)
    assert len(second.taken) == 1
    assert shop.noted() == 0


def test_a_living_process_keeps_its_webhooks(shop: Shop) -> None:
    mine, other = Post(), Post()
    webhooks, others = shop.webhooks(mine), shop.webhooks(other)
    webhooks.add(shop.job_id, URL)
    for _ in range(300):
        shop.clock.advance(2)
        webhooks.run()
        others.run()
    shop.finish()
    for _ in range(10):
        shop.clock.advance(2)
        webhooks.run()
        others.run()
    assert (len(mine.taken), len(other.taken)) == (1, 0)


def test_a_webhook_of_a_job_that_is_gone_is_dropped(shop: Shop) -> None:
    post = Post()
    webhooks = shop.webhooks(post)
    webhooks.add("01kb3v9x4q0000000000000000", URL)
    shop.run(webhooks, 10)
    assert (post.tries, shop.noted()) == (0, 0)
