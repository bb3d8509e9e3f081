"""Aggregation of many request results."""

import json

import pytest

from iraas.loadgen.aggregation import Aggregator, FleetUse, Summary, fleet_use
from iraas.loadgen.results import Failure, Measurement, RequestResult
from iraas.loadgen.sampling import DeploymentLoad, LoadSample, draw

OK = RequestResult(label="cat")


def ended(
    due_s: float, ended_s: float, answer: RequestResult = OK, expected: str = "cat"
) -> Measurement:
    return Measurement(0, "a.jpg", expected, due_s, due_s, ended_s, answer)


def summary(*measured: Measurement, sent: int | None = None) -> Summary:
    aggregator = Aggregator()
    for one in measured:
        aggregator.add(one)
    sent = len(measured) if sent is None else sent
    return aggregator.summary(sent=sent, labelled=True, samples=[], cpu_s=0.5)


def seen(at_s: float, workers: int) -> LoadSample:
    return LoadSample(
        at_s, DeploymentLoad(waiting=1, in_flight=1, workers=workers, working=workers)
    )


def test_requests_are_counted_by_result() -> None:
    late = RequestResult(failure=Failure.TIMEOUT, reason="no answer within 5 s")
    result = summary(
        ended(0, 2),
        ended(0, 1, RequestResult(label="dog", retries=2)),
        ended(0, 5, late),
        ended(0, 6, late),
        sent=7,
    )

    assert (result.sent, result.succeeded, result.failed, result.unfinished) == (7, 2, 2, 3)
    assert (result.right, result.wrong, result.retries) == (1, 1, 2)
    assert result.failures == {"timeout": 2}
    assert result.reasons == {"timeout": "no answer within 5 s"}


def test_times_count_from_the_start_to_the_last_answer() -> None:
    result = summary(ended(0, 2.5), ended(0, 1.5), ended(1, 4))

    assert (result.total_s, result.first_result_s) == (4, 2.5)
    assert result.images_per_s == pytest.approx(0.75)
    assert result.latencies is not None
    assert (result.latencies.p50, result.latencies.max) == (2.5, 3)
    assert result.cpu_ms_per_request == pytest.approx(500 / 3)


def test_failures_have_no_part_in_the_latencies() -> None:
    broken = RequestResult(failure=Failure.CONNECTION)
    result = summary(ended(0, 1), ended(0, 90, broken))

    assert result.latencies is not None
    assert result.latencies.max == 1
    assert sum(one.count for one in result.histogram) == 1


def test_a_run_in_which_nothing_succeeded_has_no_latencies() -> None:
    result = summary(ended(0, 1, RequestResult(failure=Failure.SERVER)))

    assert (result.latencies, result.first_result_s, result.histogram) == (None, None, ())
    assert json.loads(json.dumps(result.to_json()))["images_per_s"] == 0


def test_without_labels_nothing_is_right_or_wrong() -> None:
    aggregator = Aggregator()
    aggregator.add(ended(0, 1))
    result = aggregator.summary(sent=1, labelled=False, samples=[], cpu_s=0)

    assert (result.right, result.wrong) == (None, None)


def test_a_run_that_was_never_begun_sums_up_too() -> None:
    assert summary().to_json()["total_s"] == 0


def test_worker_seconds_are_the_workers_of_each_sample_until_the_next() -> None:
    observed = [seen(0, 0), seen(1, 2), seen(3, 5), seen(9, 99)]

    assert fleet_use(observed, 4.0) == FleetUse(most_workers=5, worker_seconds=2 * 2 + 5 * 1)


def test_without_samples_the_workers_are_unknown() -> None:
    assert fleet_use([], 4.0) is None


def test_the_image_of_a_run_shows_its_queue_and_its_workers() -> None:
    svg = draw([seen(0, 0), seen(1, 19)], 2.0, "100 images & more")

    assert "100 images &amp; more" in svg
    assert "there or on their way: 19 at most" in svg
    assert "waiting: 1 at most" in svg
