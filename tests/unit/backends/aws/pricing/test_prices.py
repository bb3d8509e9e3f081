"""Prices: dated, overridable, and never below what AWS bills."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from iraas.backends.aws.pricing.prices import InstanceUsage, load_prices, usage_so_far
from iraas.core.ports import Instance, InstanceState
from iraas.errors import ConfigurationError

SHIPPED = json.loads(files("iraas.backends.aws.pricing").joinpath("prices.json").read_text("utf-8"))


def test_the_shipped_table_states_its_age() -> None:
    table = load_prices("us-east-1")
    assert table.as_of == "2025-06"
    assert "pproximate" in SHIPPED["note"]


@pytest.mark.parametrize("region", SHIPPED["on_demand_hour"])
def test_every_region_prices_the_types_that_a_fleet_asks_for(region: str) -> None:
    table = load_prices(region)
    for instance_type in (
        "c6a.large",
        "c6i.large",
        "c7i.large",
        "c5.large",
        "m6i.large",
        "t3.small",
    ):
        on_demand = table.instance_hour(instance_type, "on-demand")
        spot = table.instance_hour(instance_type, "spot")
        assert on_demand is not None
        assert spot is not None
        assert 0 < spot < on_demand < 1


def test_an_instance_is_billed_a_minute_at_least() -> None:
    table = load_prices("us-east-1")
    second = table.spend([InstanceUsage("c6a.large", "on-demand", 1)])
    assert second == table.spend([InstanceUsage("c6a.large", "on-demand", 60)])
    assert second.usd < table.spend([InstanceUsage("c6a.large", "on-demand", 61)]).usd


def test_an_hour_costs_its_price_with_address_and_disk() -> None:
    table = load_prices("us-east-1")
    spend = table.spend([InstanceUsage("c6a.large", "on-demand", 3600)])
    assert spend.usd == pytest.approx(0.0765 + 0.005 + 0.0009)


def test_a_type_without_a_price_is_named_and_counts_as_the_dearest() -> None:
    table = load_prices("us-east-1")
    spend = table.spend([InstanceUsage("x9.huge", "spot", 3600)])
    assert spend.unpriced_types == ("x9.huge",)
    assert spend.usd == pytest.approx(max(table.on_demand_hour.values()) + table.extras_hour)
    assert table.hour_usd("x9.huge", "spot") == spend.usd == table.cost_usd("x9.huge", "spot", 3600)
    assert table.instance_hour("x9.huge", "spot") is None
    assert (table.has_price("x9.huge"), table.has_price("c6a.large")) == (False, True)


def test_types_without_a_price_are_refused_where_an_estimate_matters(tmp_path: Path) -> None:
    table = load_prices("us-east-1")
    table.check_priced(["c6a.large", "t3.small"], "no estimate")
    with pytest.raises(ConfigurationError, match=r"no estimate: x9\.huge has no price") as caught:
        table.check_priced(["c6a.large", "x9.huge"], "no estimate")
    assert "--prices" in caught.value.remedy
    mine = tmp_path / "prices.json"
    mine.write_text(json.dumps(SHIPPED | {"on_demand_hour": {"us-east-1": {"x9.huge": 9.0}}}))
    load_prices("us-east-1", mine).check_priced(["x9.huge"], "no estimate")


def test_a_region_without_prices_says_whose_it_uses() -> None:
    table = load_prices("mx-central-1")
    assert "us-east-1" in table.source
    assert table.instance_hour("c6a.large", "on-demand") is not None


def test_a_thousand_images_cost_more_at_a_slower_pace() -> None:
    table = load_prices("us-east-1")
    fast, slow = (table.per_thousand_images(0.1, pace) for pace in (100.0, 10.0))
    assert fast < slow
    assert slow - fast == pytest.approx(1000 * 0.1 / 3600 * (1 / 10 - 1 / 100))


def test_ages_become_consecutive_runs() -> None:
    one = Instance("i-1", InstanceState.RUNNING, 1000.0, "c6a.large", "spot")
    assert usage_so_far([one], 1090.0) == [InstanceUsage("c6a.large", "spot", 90.0)]


def test_a_custom_table_is_used(tmp_path: Path) -> None:
    mine = tmp_path / "prices.json"
    mine.write_text(json.dumps(SHIPPED | {"as_of": "2027-01", "spot_share": 0.5}))
    table = load_prices("us-east-1", mine)
    assert (table.as_of, table.spot_share, table.source) == ("2027-01", 0.5, str(mine))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps(SHIPPED | {"version": 2}),
        json.dumps(SHIPPED | {"spot_share": -1}),
        json.dumps(SHIPPED | {"on_demand_hour": {"us-east-1": {}}}),
        json.dumps(SHIPPED | {"spot_share": "cheap"}),
        json.dumps(SHIPPED | {"s3_gb_month": float("nan")}),
    ],
)
def test_a_corrupt_table_is_an_error_with_a_remedy(tmp_path: Path, text: str) -> None:
    mine = tmp_path / "prices.json"
    mine.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_prices("us-east-1", mine)
    assert caught.value.remedy
