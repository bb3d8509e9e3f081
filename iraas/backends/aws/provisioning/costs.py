"""Hourly costs of a deployment, idle and at full capacity."""

from dataclasses import dataclass

from iraas.backends.aws.fleet.config import FleetConfig
from iraas.backends.aws.pricing.prices import PriceTable

IDLE_WRITES_AN_HOUR = 2600
IDLE_READS_AN_HOUR = 1500
IDLE_QUEUE_CALLS_AN_HOUR = 3700
"""Calls of an idle web tier, counted from the code. S3 bills a listing as a write. Controller,
every 22 s: one listing, one lease renewal; one record per minute; the queue's depth every 2 s; two
calls for cleanup every 44 s. Web server, status every 5 s: three listings, two reads, two depths.
DescribeInstances is free."""


@dataclass(frozen=True, slots=True)
class DeploymentCosts:
    """Cost estimates, in US dollars.

    Attributes:
        rest_hour: An hour without instances: nothing, except for storage.
        web_hour: An hour of an idle web tier: its instance and its calls.
        web_calls_hour: The calls' share of it.
        full_hour: An hour of all workers, at the most expensive type and pricing allowed.
        cheapest_full_hour: The same at the preferred type and pricing.
        cap: Maximum number of workers.
        as_of: The month of the prices.
        source: Origin of the prices.
        unpriced: Types without a price; they count as the most expensive type.
    """

    rest_hour: float
    web_hour: float
    web_calls_hour: float
    full_hour: float
    cheapest_full_hour: float
    cap: int
    as_of: str
    source: str
    unpriced: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The estimates as lines of text."""
        full = f"${self.cheapest_full_hour:.2f} to ${self.full_hour:.2f} an hour"
        calls = f"${self.web_calls_hour:.3f} of it for calls to S3 and SQS"
        return [
            f"At rest: ${self.rest_hour:.2f} an hour; storage is billed per gigabyte.",
            f"With the web tier: ${self.web_hour:.3f} an hour, {calls}.",
            f"At the cap of {self.cap} workers: {full}.",
            *(
                f"{instance_type} has no price and counts as the most expensive type."
                for instance_type in self.unpriced
            ),
            f"Approximate prices of {self.as_of} ({self.source}); the AWS bill is authoritative.",
        ]


def deployment_costs(config: FleetConfig, prices: PriceTable) -> DeploymentCosts:
    """Estimate the costs of a deployment with this configuration."""
    hours = [
        prices.hour_usd(instance_type, pricing)
        for instance_type in config.instance_types
        for pricing in config.pricings
    ]
    calls_hour = (
        IDLE_WRITES_AN_HOUR * prices.s3_put
        + IDLE_READS_AN_HOUR * prices.s3_get
        + IDLE_QUEUE_CALLS_AN_HOUR * prices.sqs_request
    )
    instance_types = dict.fromkeys([*config.instance_types, config.web_instance_type])
    return DeploymentCosts(
        rest_hour=0.0,
        web_hour=prices.hour_usd(config.web_instance_type, "on-demand") + calls_hour,
        web_calls_hour=calls_hour,
        full_hour=config.capacity * max(hours),
        cheapest_full_hour=config.capacity
        * prices.hour_usd(config.instance_types[0], config.pricings[0]),
        cap=config.capacity,
        as_of=prices.as_of,
        source=prices.source,
        unpriced=tuple(
            instance_type for instance_type in instance_types if not prices.has_price(instance_type)
        ),
    )
