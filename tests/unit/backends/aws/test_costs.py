"""What a deployment costs by the hour, told before it is made."""

import pytest

from iraas.backends.aws.fleet_options import FleetOptions
from iraas.backends.aws.prices import load_prices
from iraas.backends.aws.stack.costs import stack_costs

PRICES = load_prices("us-east-1")


def test_the_web_tier_costs_its_instance_and_its_calls() -> None:
    costs = stack_costs(FleetOptions(), PRICES)
    assert costs.web_hour == pytest.approx(
        PRICES.hour_usd("t3.small", "on-demand") + costs.web_calls_hour
    )
    assert 0.01 < costs.web_calls_hour < 0.02
    assert any("of it for calls" in line for line in costs.lines())


def test_a_type_without_a_price_is_said_and_counts_as_the_dearest() -> None:
    costs = stack_costs(FleetOptions(kinds=("c6a.large", "x9.huge"), capacity=2), PRICES)
    assert costs.unpriced == ("x9.huge",)
    assert costs.full_hour == 2 * PRICES.hour_usd("x9.huge", "on-demand")
    assert "x9.huge has no price and counts as the dearest type." in costs.lines()


def test_at_rest_nothing_is_billed_by_the_hour() -> None:
    costs = stack_costs(FleetOptions(), PRICES)
    assert costs.rest_hour == 0
    assert costs.unpriced == ()
