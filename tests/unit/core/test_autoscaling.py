"""The backlog policy: its bounds hold for any observation."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from iraas.core.autoscaling import BacklogPolicy, Observation
from iraas.core.ports import QueueDepth

counts = st.integers(0, 10**6)
observations = st.builds(
    Observation,
    at=st.floats(0, 1e10),
    queue=st.builds(QueueDepth, visible=counts, in_flight=counts, delayed=counts),
    booting=st.integers(0, 30),
    running=st.integers(0, 30),
    cap=st.integers(1, 19),
    images_per_s=st.floats(0, 1e6),
)
policies = st.builds(BacklogPolicy, st.integers(1, 1000))


def seen(
    visible: int = 0, in_flight: int = 0, delayed: int = 0, *, booting: int = 0, running: int = 0
) -> Observation:
    return Observation(0.0, QueueDepth(visible, in_flight, delayed), booting, running, cap=4)


@given(policies, observations)
def test_no_more_are_wanted_than_the_cap_and_never_less_than_none(
    policy: BacklogPolicy, observation: Observation
) -> None:
    assert 0 <= policy.decide(observation).wanted <= observation.cap


@given(policies, observations, counts, counts)
def test_a_larger_backlog_never_wants_fewer(
    policy: BacklogPolicy, observation: Observation, more_visible: int, more_in_flight: int
) -> None:
    queue = observation.queue
    larger = replace(
        queue,
        visible=queue.visible + more_visible,
        in_flight=queue.in_flight + more_in_flight,
    )
    more = policy.decide(replace(observation, queue=larger)).wanted
    assert more >= policy.decide(observation).wanted


@given(policies, observations)
def test_existing_and_launching_workers_are_never_reduced(
    policy: BacklogPolicy, observation: Observation
) -> None:
    there = min(observation.workers, observation.cap)
    assert policy.decide(observation).wanted >= there


@given(policies, observations)
def test_launched_workers_satisfy_the_demand(
    policy: BacklogPolicy, observation: Observation
) -> None:
    """Once the wanted ones are booting, the same backlog asks for none on top."""
    wanted = policy.decide(observation).wanted
    later = replace(observation, booting=wanted, running=0)
    assert policy.decide(later).wanted == wanted


@given(policies, observations)
def test_the_same_observation_gives_the_same_decision_with_a_reason(
    policy: BacklogPolicy, observation: Observation
) -> None:
    assert policy.decide(observation) == policy.decide(observation)
    assert policy.decide(observation).reason


def test_an_image_wants_a_worker() -> None:
    assert BacklogPolicy().decide(seen(visible=1)).wanted == 1


def test_an_image_in_flight_still_wants_its_worker() -> None:
    assert BacklogPolicy().decide(seen(in_flight=2)).wanted == 2


def test_a_delayed_image_wants_none_yet() -> None:
    assert BacklogPolicy().decide(seen(delayed=9)).wanted == 0


def test_with_nothing_to_do_none_is_wanted() -> None:
    decision = BacklogPolicy().decide(seen())
    assert decision.wanted == 0
    assert decision.reason == "no image waits or is in flight"


def test_a_worker_is_worth_as_many_images_as_configured() -> None:
    policy = BacklogPolicy(images_per_worker=10)
    assert policy.decide(seen(visible=10)).wanted == 1
    assert policy.decide(seen(visible=11)).wanted == 2


def test_the_reason_names_the_backlog_and_the_cap() -> None:
    reason = BacklogPolicy().decide(seen(visible=90, in_flight=10)).reason
    assert reason == "90 images wait, 10 in flight; the cap is 4"


def test_the_reason_says_that_idle_workers_leave_by_themselves() -> None:
    decision = BacklogPolicy().decide(seen(visible=1, booting=1, running=2))
    assert decision.wanted == 3
    assert decision.reason.endswith("3 workers exist and exit by themselves")
