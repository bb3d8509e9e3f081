"""The fleet configuration: read back as written, and rejected if invalid."""

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
from tests.fakes.clock import Clock
from tests.fakes.virtual_ec2 import Store


def test_a_configuration_is_read_back_as_it_was_written() -> None:
    config = FleetConfig(
        instance_types=("c7i.large",), pricings=("on-demand",), subnet_ids=("a", "b"), capacity=3
    )
    assert decode_config(config.encode()) == config


def test_the_stored_names_of_fields_do_not_change() -> None:
    value = json.loads(FleetConfig(instance_types=("a",), web_instance_type="b").encode())
    assert (value["kinds"], value["web_kind"]) == (["a"], "b")
    assert set(value) == {
        "kinds", "pricings", "subnet_ids", "capacity", "max_life_min", "web_kind", "web_life_min",
        "web_cidr", "keep_data_days", "image_id",
    }  # fmt: skip


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    value = json.loads(FleetConfig().encode()) | {"colour": "red"}
    assert decode_config(json.dumps(value).encode()) == FleetConfig()


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"pricings": ["free"], "kinds": ["x"]}', b'{"pricings": 1}', b"\xff"],
)
def test_a_corrupt_configuration_counts_as_none(data: bytes) -> None:
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
def test_invalid_values_are_rejected(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        FleetConfig(**bad)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    return Store(clock, random.Random(1))


def test_the_stored_configuration_is_cached_for_a_minute_or_until_invalidated(
    store: Store, clock: Clock
) -> None:
    stored = StoredFleetConfig(lambda: store, clock)
    with pytest.raises(NotProvisionedError):
        stored()
    store.put("options.json", FleetConfig(capacity=3).encode())
    assert stored().capacity == 3
    store.put("options.json", FleetConfig(capacity=4).encode())
    clock.now += CONFIG_CACHE_TTL_S - 1
    assert stored().capacity == 3
    clock.now += 1
    assert stored().capacity == 4
    store.put("options.json", FleetConfig(capacity=5).encode())
    stored.invalidate()
    assert stored().capacity == 5


def test_the_cached_configuration_survives_an_unavailable_store(store: Store, clock: Clock) -> None:
    stored = StoredFleetConfig(lambda: store, clock)
    store.put("options.json", FleetConfig(capacity=3).encode())
    stored()
    there = store.get

    def away(key: str) -> bytes:
        raise BackendUnavailableError("away")

    store.get = away  # type: ignore[method-assign]
    clock.now += CONFIG_CACHE_TTL_S
    assert stored().capacity == 3
    store.get = there  # type: ignore[method-assign]
    store.delete(["options.json"])
    clock.now += CONFIG_CACHE_TTL_S
    with pytest.raises(NotProvisionedError):
        stored()


def test_cooldowns_last_until_the_deployment_is_provisioned_again(
    store: Store, clock: Clock
) -> None:
    config = FleetConfig(
        instance_types=("c6a.large",), pricings=("spot",), subnet_ids=("a",), capacity=2
    )
    store.put("options.json", config.encode())
    current = CurrentLaunchCandidates(
        StoredFleetConfig(lambda: store, clock), worker_candidates, clock
    )
    first = current()
    candidate = first.pick(0)
    assert candidate is not None
    first.record_rejection(candidate, "Unsupported")
    clock.now += CONFIG_CACHE_TTL_S
    assert current() is first
    store.put("options.json", replace(config, instance_types=("c7i.large",), capacity=5).encode())
    clock.now += CONFIG_CACHE_TTL_S
    assert current() is not first
    assert current().max_instances == 5
    assert current().pick(0) == LaunchCandidate("c7i.large", "a", "spot")


def test_the_web_tier_is_never_on_spot() -> None:
    config = FleetConfig(subnet_ids=("a",), web_instance_type="t3.medium")
    assert web_candidates(config) == (LaunchCandidate("t3.medium", "a", "on-demand"),)
