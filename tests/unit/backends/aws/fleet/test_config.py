"""The options of a deployment: read back as written, and refused when they make no sense."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from iraas.backends.aws.fleet.config import (
    KNOWN_FOR_S,
    CurrentLaunchOptions,
    FleetConfig,
    KeptOptions,
    decode_options,
    web_launches,
    worker_launches,
)
from iraas.backends.aws.fleet.launch_candidates import LaunchOption
from iraas.errors import BackendUnavailableError, ConfigurationError, NotProvisionedError
from tests.fakes.virtual_ec2 import Store, VirtualClock


def test_options_are_read_back_as_they_were_written() -> None:
    options = FleetConfig(
        kinds=("c7i.large",), pricings=("on-demand",), subnet_ids=("a", "b"), capacity=3
    )
    assert decode_options(options.encode()) == options


def test_a_newer_versions_options_are_read_as_far_as_they_are_known() -> None:
    value = json.loads(FleetConfig().encode()) | {"colour": "red"}
    assert decode_options(json.dumps(value).encode()) == FleetConfig()


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"pricings": ["free"], "kinds": ["x"]}', b'{"pricings": 1}', b"\xff"],
)
def test_mangled_options_are_as_good_as_none(data: bytes) -> None:
    with pytest.raises(NotProvisionedError) as caught:
        decode_options(data)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "bad",
    [{"capacity": 20}, {"capacity": 0}, {"kinds": ()}, {"pricings": ()}, {"max_life_min": 0}],
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
    kept = KeptOptions(lambda: store, clock)
    with pytest.raises(NotProvisionedError):
        kept()
    store.put("options.json", FleetConfig(capacity=3).encode())
    assert kept().capacity == 3
    store.put("options.json", FleetConfig(capacity=4).encode())
    clock.now += KNOWN_FOR_S - 1
    assert kept().capacity == 3
    clock.now += 1
    assert kept().capacity == 4
    store.put("options.json", FleetConfig(capacity=5).encode())
    kept.forget()
    assert kept().capacity == 5


def test_kept_options_outlive_a_store_that_is_away(store: Store, clock: VirtualClock) -> None:
    kept = KeptOptions(lambda: store, clock)
    store.put("options.json", FleetConfig(capacity=3).encode())
    kept()
    there = store.get

    def away(key: str) -> bytes:
        raise BackendUnavailableError("away")

    store.get = away  # type: ignore[method-assign]
    clock.now += KNOWN_FOR_S
    assert kept().capacity == 3
    store.get = there  # type: ignore[method-assign]
    store.delete(["options.json"])
    clock.now += KNOWN_FOR_S
    with pytest.raises(NotProvisionedError):
        kept()


def test_launch_options_stay_with_what_rests_until_the_deployment_is_provisioned_anew(
    store: Store, clock: VirtualClock
) -> None:
    options = FleetConfig(kinds=("c6a.large",), pricings=("spot",), subnet_ids=("a",), capacity=2)
    store.put("options.json", options.encode())
    current = CurrentLaunchOptions(KeptOptions(lambda: store, clock), worker_launches, clock)
    first = current()
    option = first.pick(0)
    assert option is not None
    first.refused(option, "Unsupported")
    clock.now += KNOWN_FOR_S
    assert current() is first
    store.put("options.json", replace(options, kinds=("c7i.large",), capacity=5).encode())
    clock.now += KNOWN_FOR_S
    assert current() is not first
    assert current().most == 5
    assert current().pick(0) == LaunchOption("c7i.large", "a", "spot")


def test_the_web_tier_is_never_on_spot() -> None:
    options = FleetConfig(subnet_ids=("a",), web_kind="t3.medium")
    assert web_launches(options) == (LaunchOption("t3.medium", "a", "on-demand"),)
