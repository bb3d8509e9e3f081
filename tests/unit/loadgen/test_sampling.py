"""Watching a deployment, in virtual time."""

import asyncio
from collections.abc import Callable

import pytest

from iraas.loadgen.sampling import SETTLE_S, SHORT_RUN_S, DeploymentLoad, Sampler
from tests.fakes.virtual_time import run_virtually

Workers = Callable[[float], int]


def idle(_at_s: float) -> int:
    return 0


def watched(
    workers: Workers, *, run_s: float, after_s: float = 0.0, in_flight: Workers = idle
) -> list[tuple[float, int]]:
    """The times of the samples of a run of that many seconds, and the workers in each."""

    async def run() -> list[tuple[float, int]]:
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def read_load() -> DeploymentLoad:
            at_s = loop.time() - began
            there = workers(at_s)
            return DeploymentLoad(0, in_flight(at_s), workers=there, working=there)

        sampler = Sampler(read_load, interval_s=1.0)
        await sampler.start()
        running = asyncio.create_task(sampler.run())
        await asyncio.sleep(run_s)
        running.cancel()
        await sampler.finish(after_s)
        return [(one.at_s, one.workers) for one in sampler.samples]

    return run_virtually(run())


def test_a_short_run_is_sampled_four_times_a_second_and_at_its_end() -> None:
    times = [at_s for at_s, _ in watched(lambda at_s: 1, run_s=1.1)]

    assert times == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0, 1.1])


def test_a_long_run_is_sampled_less_often() -> None:
    times = [at_s for at_s, _ in watched(lambda at_s: 1, run_s=SHORT_RUN_S + 10.1)]

    assert len([one for one in times if one > SHORT_RUN_S]) == 11


def test_on_demand_sampling_continues_until_no_worker_is_left() -> None:
    seen = watched(lambda at_s: 2 if at_s < 5 else 0, run_s=1.0, after_s=60.0)

    assert seen[-1][1] == 0
    assert seen[-1][0] == pytest.approx(5.0, abs=0.3)


def test_waiting_for_workers_to_exit_is_bounded() -> None:
    seen = watched(lambda at_s: 2, run_s=1.0, after_s=3.0)

    assert seen[-1][1] == 2
    assert seen[-1][0] == pytest.approx(4.0, abs=0.3)


def test_sampling_continues_until_the_queue_is_empty_after_the_last_answer() -> None:
    times = [
        at_s for at_s, _ in watched(lambda at_s: 1, run_s=1.1, in_flight=lambda at_s: at_s < 1.5)
    ]

    assert times[-1] == pytest.approx(1.6)


def test_waiting_for_a_queue_that_others_fill_is_bounded() -> None:
    times = [at_s for at_s, _ in watched(lambda at_s: 1, run_s=1.1, in_flight=lambda at_s: 5)]

    assert times[-1] == pytest.approx(1.1 + SETTLE_S)
