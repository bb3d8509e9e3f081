"""The closed and the open loop, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Self

import pytest

from iraas.loadgen.images import LoadedImage
from iraas.loadgen.plan import LoadPlan
from iraas.loadgen.results import Failure, Measurement, RequestResult
from iraas.loadgen.run import LoadRun, ServerUnresponsive
from tests.fakes.virtual_time import run_virtually

IMAGES = [LoadedImage(f"{n}.jpg", b"x", f"label {n}") for n in range(3)]
Behaviour = Callable[[int], Awaitable[RequestResult]]


class ScriptedTarget:
    """Returns scripted answers, and records the maximum number of concurrent requests."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self.begun = 0
        self.held = 0
        self.most_held = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def classify(self, image: LoadedImage, until: float) -> RequestResult:
        number = self.begun
        self.begun += 1
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        try:
            return await self._behave(number)
        finally:
            self.held -= 1


def answers_after(seconds: float) -> Behaviour:
    async def behave(_number: int) -> RequestResult:
        await asyncio.sleep(seconds)
        return RequestResult(label="cat")

    return behave


def load(plan: LoadPlan, target: ScriptedTarget) -> list[Measurement]:
    measured: list[Measurement] = []
    run = LoadRun(plan, target, IMAGES, on_completed=measured.append, random=Random(1))
    run_virtually(run.run())
    return sorted(measured, key=lambda one: one.number)


def test_a_closed_loop_keeps_a_fixed_number_in_flight_and_sends_each_request_once() -> None:
    target = ScriptedTarget(answers_after(1.0))

    measured = load(LoadPlan(10, None, in_flight=4, timeout_s=60), target)

    assert [one.number for one in measured] == list(range(10))
    assert target.most_held == 4
    assert max(one.ended_s for one in measured) == pytest.approx(3.0)
    assert {one.latency_s for one in measured} == {1.0}


def test_images_are_sent_in_turn() -> None:
    measured = load(LoadPlan(5, None, 1, 60), ScriptedTarget(answers_after(1.0)))

    assert [one.name for one in measured] == ["0.jpg", "1.jpg", "2.jpg", "0.jpg", "1.jpg"]
    assert measured[3].expected == "label 0"


def test_a_closed_loop_ends_with_its_duration() -> None:
    target = ScriptedTarget(answers_after(1.0))

    measured = load(LoadPlan(None, 3.5, in_flight=2, timeout_s=60), target)

    assert len(measured) == 8
    assert max(one.due_s for one in measured) == pytest.approx(3.0)


def test_an_open_loop_sends_when_due_regardless_of_earlier_requests() -> None:
    target = ScriptedTarget(answers_after(100.0))

    measured = load(LoadPlan(5, None, 1000, 600, rate_per_s=2.0, arrivals="fixed"), target)

    assert [one.started_s for one in measured] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0])
    assert target.most_held == 5


def test_a_request_that_could_not_be_sent_in_time_has_waited_since_it_was_due() -> None:
    """One request hangs for ten seconds and holds up all others: with coordinated omission one
    bad latency would be seen; without it every request that was due meanwhile shows its wait.
    """

    async def behave(number: int) -> RequestResult:
        await asyncio.sleep(10.0 if number == 0 else 0.0)
        return RequestResult(label="cat")

    plan = LoadPlan(11, None, in_flight=1, timeout_s=60, rate_per_s=1.0, arrivals="fixed")
    measured = load(plan, ScriptedTarget(behave))

    assert [one.latency_s for one in measured] == pytest.approx(
        [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    )


def test_a_request_without_an_answer_times_out_and_the_client_goes_on() -> None:
    async def behave(number: int) -> RequestResult:
        if number == 0:
            await asyncio.get_running_loop().create_future()
        return RequestResult(label="cat")

    measured = load(LoadPlan(3, None, in_flight=1, timeout_s=5), ScriptedTarget(behave))

    assert [one.result.failure for one in measured] == [Failure.TIMEOUT, None, None]
    assert measured[0].latency_s == pytest.approx(5.0)
    assert measured[0].result.reason == "no answer within 5 s"


def test_an_open_loop_on_a_hung_target_ends_one_timeout_after_the_last_was_due() -> None:
    async def behave(_number: int) -> RequestResult:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    plan = LoadPlan(100, None, in_flight=3, timeout_s=5, rate_per_s=10.0, arrivals="fixed")
    measured = load(plan, ScriptedTarget(behave))

    assert len(measured) == 100
    assert max(one.ended_s for one in measured) == pytest.approx(9.9 + 5)


def test_a_client_does_not_spin_on_a_dead_server() -> None:
    async def behave(_number: int) -> RequestResult:
        return RequestResult(failure=Failure.CONNECTION)

    measured = load(LoadPlan(None, 10.0, 1, timeout_s=60, give_up_s=60), ScriptedTarget(behave))

    assert 50 < len(measured) <= 101


def test_an_answer_that_two_requesters_get_is_refused_the_second_time() -> None:
    async def behave(number: int) -> RequestResult:
        return RequestResult(label="cat", request_id="same" if number else "other")

    measured = load(LoadPlan(3, None, in_flight=1, timeout_s=60), ScriptedTarget(behave))

    assert [one.result.failure for one in measured] == [None, None, Failure.MISMATCHED]


def test_a_cancelled_run_leaves_nothing_running_and_keeps_what_was_measured() -> None:
    target = ScriptedTarget(answers_after(1.0))
    measured: list[Measurement] = []
    plan = LoadPlan(None, None, in_flight=3, timeout_s=60)
    run = LoadRun(plan, target, IMAGES, on_completed=measured.append, random=Random(1))

    async def interrupt() -> None:
        task = asyncio.create_task(run.run())
        await asyncio.sleep(2.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtually(interrupt())

    assert (len(measured), run.sent, target.held) == (6, 9, 0)


def test_a_label_is_right_if_it_is_the_expected_one() -> None:
    async def behave(number: int) -> RequestResult:
        return (
            RequestResult(label="label 0") if number < 2 else RequestResult(failure=Failure.SERVER)
        )

    measured = load(LoadPlan(3, None, in_flight=1, timeout_s=60), ScriptedTarget(behave))

    assert [one.is_right for one in measured] == [True, False, None]


def broken_from(number: int, *, until: int = 10**9) -> Behaviour:
    async def behave(this: int) -> RequestResult:
        if number <= this < until:
            return RequestResult(failure=Failure.CONNECTION, reason="refused")
        await asyncio.sleep(1.0)
        return RequestResult(label="cat")

    return behave


def left_after(
    plan: LoadPlan, behave: Behaviour
) -> tuple[ServerUnresponsive | None, list[Measurement]]:
    measured: list[Measurement] = []
    run = LoadRun(
        plan, ScriptedTarget(behave), IMAGES, on_completed=measured.append, random=Random(1)
    )
    run_virtually(run.run())
    return run.unresponsive, measured


def test_clients_give_up_when_only_connection_errors_come() -> None:
    silence, measured = left_after(
        LoadPlan(10_000, None, in_flight=4, timeout_s=60, give_up_s=3.0), broken_from(8)
    )

    assert silence is not None
    assert silence.reason == "refused"
    assert silence.for_s == pytest.approx(3.0, abs=0.2)
    assert sum(one.result.failure is None for one in measured) == 8
    assert len(measured) < 200


def test_an_open_loop_gives_up_too() -> None:
    silence, measured = left_after(
        LoadPlan(1000, None, 50, 60, rate_per_s=2.0, arrivals="fixed", give_up_s=3.0),
        broken_from(4),
    )

    assert silence is not None
    assert silence.reason == "refused"
    assert silence.for_s == pytest.approx(3.0, abs=0.6)
    assert len(measured) < 20


def test_a_server_that_comes_back_in_time_is_not_given_up() -> None:
    silence, measured = left_after(
        LoadPlan(50, None, in_flight=1, timeout_s=60, give_up_s=3.0), broken_from(4, until=24)
    )

    assert silence is None
    assert len(measured) == 50


def test_two_distant_errors_do_not_count_as_a_dead_server() -> None:
    silence, measured = left_after(
        LoadPlan(2, None, 1, 60, rate_per_s=0.1, arrivals="fixed", give_up_s=3.0), broken_from(0)
    )

    assert silence is None
    assert len(measured) == 2
