"""The options of a deployment: read back as written, and refused when they make no sense."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from iraas.backends.aws.fleet.config import (
    CONFIG_CACHE_TTL_S,
    CurrentLaunchCandidates,
    FleetConfig,
    StoredFleetConfig,
    decode_config,
    web_candidates,
    worker_candidates,
)
from iraas.backends.aws.fleet.launch_candidates import LaunchCandidate
from iraas.errors import BackendUnavailableError, ConfigurationError, NotProvisionedError
from tests.fakes.virtual_ec2 import Store, VirtualClock


def test_options_are_read_back_as_they_were_written() -> None:
    options = FleetConfig(
        instance_types=("c7i.large",), pricings=("on-demand",), subnet_ids=("a", "b"), capacity=3
    )
    assert decode_config(options.encode()) == options


def test_a_newer_versions_options_are_read_as_far_as_they_are_known() -> None:
    value = json.loads(FleetConfig().encode()) | {"colour": "red"}
    assert decode_config(json.dumps(value).encode()) == FleetConfig()


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"pricings": ["free"], "kinds": ["x"]}', b'{"pricings": 1}', b"\xff"],
)
def test_mangled_options_are_as_good_as_none(data: bytes) -> None:
    with pytest.raises(NotProvisionedError) as caught:
        decode_config(data)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "bad",
    [
        {"capacity": 20},
        {"capacity": 0},
        {"instance_types": ()},
        {"pricings": ()},
        {"max_life_min": 0},
    ],
)
def test_options_that_make_no_sense_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        FleetConfig(**bad)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> Store:
    return Store(clock, random.Random(1))


def test_kept_options_are_read_once_a_minute_or_when_they_are_forgotten(
    store: Store, clock: VirtualClock
) -> None:
    kept = StoredFleetConfig(lambda: store, clock)
    with pytest.raises(NotProvisionedError):
        kept()
    store.put("options.json", FleetConfig(capacity=3).encode())
    assert kept().capacity == 3
    store.put("options.json", FleetConfig(capacity=4).encode())
    clock.now += CONFIG_CACHE_TTL_S - 1
    assert kept().capacity == 3
    clock.now += 1
    assert kept().capacity == 4
    store.put("options.json", FleetConfig(capacity=5).encode())
    kept.invalidate()
    assert kept().capacity == 5


def test_kept_options_outlive_a_store_that_is_away(store: Store, clock: VirtualClock) -> None:
    kept = StoredFleetConfig(lambda: store, clock)
    store.put("options.json", FleetConfig(capacity=3).encode())
    kept()
    there = store.get

    def away(key: str) -> bytes:
        raise BackendUnavailableError("away")

    store.get = away  # type: ignore[method-assign]
    clock.now += CONFIG_CACHE_TTL_S
    assert kept().capacity == 3
    store.get = there  # type: ignore[method-assign]
    store.delete(["options.json"])
    clock.now += CONFIG_CACHE_TTL_S
    with pytest.raises(NotProvisionedError):
        kept()


def test_launch_options_stay_with_what_rests_until_the_deployment_is_provisioned_anew(
    store: Store, clock: VirtualClock
) -> None:
    options = FleetConfig(
        instance_types=("c6a.large",), pricings=("spot",), subnet_ids=("a",), capacity=2
    )
    store.put("options.json", options.encode())
    current = CurrentLaunchCandidates(
        StoredFleetConfig(lambda: store, clock), worker_candidates, clock
    )
    first = current()
    option = first.pick(0)
    assert option is not None
    first.record_rejection(option, "Unsupported")
    clock.now += CONFIG_CACHE_TTL_S
    assert current() is first
    store.put("options.json", replace(options, instance_types=("c7i.large",), capacity=5).encode())
    clock.now += CONFIG_CACHE_TTL_S
    assert current() is not first
    assert current().max_instances == 5
    assert current().pick(0) == LaunchCandidate("c7i.large", "a", "spot")


def test_the_web_tier_is_never_on_spot() -> None:
    options = FleetConfig(subnet_ids=("a",), web_instance_type="t3.medium")
    assert web_candidates(options) == (LaunchCandidate("t3.medium", "a", "on-demand"),)
