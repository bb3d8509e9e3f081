"""The options of a deployment: read back as written, and refused when they make no sense."""

import json
from typing import Any

import pytest

from iraas.backends.aws.fleet_options import FleetOptions, KeptOptions, decode_options
from iraas.errors import ConfigurationError, NotProvisionedError
from tests.unit.backends.aws.virtual_world import Store, VirtualClock


def test_options_are_read_back_as_they_were_written() -> None:
    options = FleetOptions(
        kinds=("c7i.large",), pricings=("on-demand",), subnet_ids=("a", "b"), capacity=3
    )
    assert decode_options(options.encode()) == options


def test_a_newer_versions_options_are_read_as_far_as_they_are_known() -> None:
    value = json.loads(FleetOptions().encode()) | {"colour": "red"}
    assert decode_options(json.dumps(value).encode()) == FleetOptions()


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
        FleetOptions(**bad)


def test_kept_options_are_read_once_until_they_are_forgotten() -> None:
    store = Store(VirtualClock(), __import__("random").Random(1))
    kept = KeptOptions(lambda: store)
    with pytest.raises(NotProvisionedError):
        kept()
    store.put("options.json", FleetOptions(capacity=3).encode())
    assert kept().capacity == 3
    store.put("options.json", FleetOptions(capacity=4).encode())
    assert kept().capacity == 3
    kept.forget()
    assert kept().capacity == 4
