"""Approximate prices: a dated table that ships with the package, or a custom one.

The figures only serve estimates before and during spending; the AWS bill is authoritative.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from iraas.core.ports import Instance
from iraas.errors import ConfigurationError

MINIMUM_BILLED_S = 60.0
"""Linux instances are billed per second, with a minimum of one minute
(https://aws.amazon.com/ec2/pricing/on-demand/)."""

_SECONDS_AN_HOUR = 3600.0
PRICE_BOUND_USD = 1e6
"""Below it are all prices, and neither infinity nor NaN."""
_SQS_CALLS_AN_IMAGE = 5 / 10 + 1
"""Send, receive, delete, reply and its receive, ten per call; plus a share of empty polls."""


@dataclass(frozen=True, slots=True)
class InstanceUsage:
    """Billable use of one instance.

    Attributes:
        instance_type: The instance type.
        pricing: ``on-demand`` or ``spot``.
        seconds: Time from launch to termination, or until now.
    """

    instance_type: str
    pricing: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """A cost estimate.

    Attributes:
        usd: US dollars.
        unpriced_types: Instance types without a price; they count as the most expensive type.
    """

    usd: float
    unpriced_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices of one region, in US dollars.

    Attributes:
        region: The region.
        as_of: The month of the figures, such as ``2025-06``.
        source: Origin of the table, for display.
        on_demand_hour: Hourly on-demand price of each instance type.
        spot_share: Typical Spot price as a share of the on-demand price.
        extras_hour: Hourly price of each instance's public address and disk.
        sqs_request: Price of one SQS call.
        s3_put: Price of one S3 write.
        s3_get: Price of one S3 read.
        s3_gb_month: Price of one gigabyte stored for a month.
    """

    region: str
    as_of: str
    source: str
    on_demand_hour: Mapping[str, float]
    spot_share: float
    extras_hour: float
    sqs_request: float
    s3_put: float
    s3_get: float
    s3_gb_month: float

    def instance_hour(self, instance_type: str, pricing: str) -> float | None:
        """Hourly price of an instance with its address and disk; None if its type has no price.

        Args:
            instance_type: The instance type.
            pricing: ``on-demand`` or ``spot``.
        """
        price = self.on_demand_hour.get(instance_type)
        if price is None:
            return None
        return price * (self.spot_share if pricing == "spot" else 1.0) + self.extras_hour

    def has_price(self, instance_type: str) -> bool:
        """Return whether a type has a price. See `iraas.core.ports.Pricing`."""
        return instance_type in self.on_demand_hour

    def check_priced(self, instance_types: Iterable[str], operation: str) -> None:
        """Raise unless every instance type has a price.

        Args:
            instance_types: Instance types.
            operation: What is impossible without a price, for the error message.

        Raises:
            ConfigurationError: A type has no price.
        """
        unknown = sorted({name for name in instance_types if not self.has_price(name)})
        if unknown:
            raise ConfigurationError(
                f"{operation}: {', '.join(unknown)} has no price in {self.region} ({self.source})",
                remedy="Choose a type that has one, or pass --prices with a file that names it, in "
                "the format of iraas/backends/aws/pricing/prices.json.",
            )

    def hour_usd(self, instance_type: str, pricing: str) -> float:
        """Hourly price of an instance. See `iraas.core.ports.Pricing`.

        A type without a price counts as the most expensive one, on demand: estimates behind a
        budget should be too high rather than too low.
        """
        hour = self.instance_hour(instance_type, pricing)
        if hour is not None:
            return hour
        return max(self.on_demand_hour.values()) + self.extras_hour

    def cost_usd(self, instance_type: str, pricing: str, seconds: float) -> float:
        """Cost of one instance. See `iraas.core.ports.Pricing`."""
        return self.spend([InstanceUsage(instance_type, pricing, seconds)]).usd

    def spend(self, usages: Iterable[InstanceUsage]) -> CostEstimate:
        """Estimate the total cost of instances; each is billed for at least one minute."""
        usd = 0.0
        unknown: set[str] = set()
        for usage in usages:
            if not self.has_price(usage.instance_type):
                unknown.add(usage.instance_type)
            hour = self.hour_usd(usage.instance_type, usage.pricing)
            usd += hour * max(usage.seconds, MINIMUM_BILLED_S) / _SECONDS_AN_HOUR
        return CostEstimate(usd, tuple(sorted(unknown)))

    def per_thousand_images(self, hour: float, images_per_s: float) -> float:
        """Cost of 1,000 images, including calls to S3 and SQS.

        Args:
            hour: Hourly cost of all workers together, in dollars.
            images_per_s: Throughput of all workers together; more than 0.
        """
        work = hour / (images_per_s * _SECONDS_AN_HOUR)
        # Two writes (input, outcome), two reads, and the calls of the queues.
        requests = 2 * self.s3_put + 2 * self.s3_get + _SQS_CALLS_AN_IMAGE * self.sqs_request
        return 1000 * (work + requests)


def usage_so_far(instances: Sequence[Instance], now: float) -> list[InstanceUsage]:
    """Usage of existing instances until now.

    Args:
        instances: The instances.
        now: The current time, in seconds since the epoch.
    """
    return [
        InstanceUsage(
            instance.instance_type, instance.pricing, max(0.0, now - instance.launched_at)
        )
        for instance in instances
    ]


def load_prices(region: str, override: Path | None = None) -> PriceTable:
    """Load the price table of the package, or a custom one of the same format.

    A region without prices uses those of us-east-1, and `source` says so.

    Args:
        region: The region.
        override: Path of a custom table; None for the one in the package.

    Raises:
        ConfigurationError: The file cannot be read or has another format.
    """
    shipped = files("iraas.backends.aws.pricing").joinpath("prices.json")
    try:
        text = override.read_text("utf-8") if override else shipped.read_text("utf-8")
        return _parse(json.loads(text), region, str(override or "shipped with iraas"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ConfigurationError(
            f"the price table {override or 'of iraas'} cannot be used: {exc!r}",
            remedy="Pass a file in the format of iraas/backends/aws/pricing/prices.json.",
        ) from exc


def _parse(value: Any, region: str, source: str) -> PriceTable:
    if value["version"] != 1:
        raise ValueError(f"version {value['version']!r} is not 1")
    regions = value["on_demand_hour"]
    if region not in regions:
        source = f"{source}; prices of us-east-1 used for {region}"
    prices = regions.get(region, regions["us-east-1"])
    if not prices:
        raise ValueError(f"no type of {region} has a price")
    requests = value["requests"]
    return PriceTable(
        region=region,
        as_of=str(value["as_of"]),
        source=source,
        on_demand_hour={instance_type: _price(price) for instance_type, price in prices.items()},
        spot_share=_price(value["spot_share"]),
        extras_hour=sum(map(_price, value["per_instance_hour"].values())),
        sqs_request=_price(requests["sqs_per_million"]) / 1e6,
        s3_put=_price(requests["s3_put_per_thousand"]) / 1e3,
        s3_get=_price(requests["s3_get_per_thousand"]) / 1e3,
        s3_gb_month=_price(value["s3_gb_month"]),
    )


def _price(value: Any) -> float:
    price = float(value)
    if not 0 <= price < PRICE_BOUND_USD:  # false for NaN, too
        raise ValueError(f"{value!r} is not a price")
    return price
