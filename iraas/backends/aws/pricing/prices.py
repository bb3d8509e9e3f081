"""What things cost, approximately: a dated table that ships with the package, or one of your own.

The figures serve to tell a cent from a dollar before and while it is spent. The bill is AWS's.
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
"""Linux instances are billed by the second, a minute at least
(https://aws.amazon.com/ec2/pricing/on-demand/)."""

_SECONDS_AN_HOUR = 3600.0
PRICE_BOUND_USD = 1e6
"""Below it are all prices, and neither infinity nor NaN."""
_SQS_CALLS_AN_IMAGE = 5 / 10 + 1
"""Send, receive, delete, reply and its receive, ten a call; and a share of empty polls."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one instance did, as far as money goes.

    Attributes:
        kind: The instance type.
        pricing: ``on-demand`` or ``spot``.
        seconds: From its launch to its end, or to now.
    """

    kind: str
    pricing: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Spend:
    """An estimate.

    Attributes:
        usd: Dollars.
        unknown_kinds: Instance types without a price here; they count as the dearest that has one.
    """

    usd: float
    unknown_kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices in US dollars, of one region.

    Attributes:
        region: The region.
        as_of: The month of the figures, as ``2025-06``.
        source: Where the table is from, for people.
        on_demand_hour: An hour of each instance type.
        spot_share: A typical Spot price as a share of the on-demand price.
        extras_hour: What every instance costs besides: its public address and its disk.
        sqs_request: One call of SQS.
        s3_put: One write to S3.
        s3_get: One read from S3.
        s3_gb_month: A gigabyte kept for a month.
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

    def instance_hour(self, kind: str, pricing: str) -> float | None:
        """An hour of an instance with its address and disk, or None if its type has no price."""
        price = self.on_demand_hour.get(kind)
        if price is None:
            return None
        return price * (self.spot_share if pricing == "spot" else 1.0) + self.extras_hour

    def has_price(self, kind: str) -> bool:
        """Whether a type has a price. See `iraas.core.ports.Pricing`."""
        return kind in self.on_demand_hour

    def check_priced(self, kinds: Iterable[str], what: str) -> None:
        """Check that an estimate of the costs of some instance types would not be a guess.

        Args:
            kinds: Instance types.
            what: What cannot be done otherwise, for people.

        Raises:
            ConfigurationError: A type has no price.
        """
        unknown = sorted({kind for kind in kinds if not self.has_price(kind)})
        if unknown:
            raise ConfigurationError(
                f"{what}: {', '.join(unknown)} has no price in {self.region} ({self.source})",
                remedy="Choose a type that has one, or pass --prices with a file that names it, of "
                "the same form as iraas/backends/aws/pricing/prices.json.",
            )

    def hour_usd(self, kind: str, pricing: str) -> float:
        """As `instance_hour`; a type without a price counts as the dearest, on demand: an estimate
        that a limit on spending hangs on is rather too high. See `iraas.core.ports.Pricing`.
        """
        hour = self.instance_hour(kind, pricing)
        if hour is not None:
            return hour
        return max(self.on_demand_hour.values()) + self.extras_hour

    def cost_usd(self, kind: str, pricing: str, seconds: float) -> float:
        """What one instance cost. See `iraas.core.ports.Pricing`."""
        return self.spend([Run(kind, pricing, seconds)]).usd

    def spend(self, runs: Iterable[Run]) -> Spend:
        """What instances cost for as long as they ran, each a minute at least."""
        usd = 0.0
        unknown: set[str] = set()
        for run in runs:
            if not self.has_price(run.kind):
                unknown.add(run.kind)
            hour = self.hour_usd(run.kind, run.pricing)
            usd += hour * max(run.seconds, MINIMUM_BILLED_S) / _SECONDS_AN_HOUR
        return Spend(usd, tuple(sorted(unknown)))

    def per_thousand_images(self, hour: float, images_per_s: float) -> float:
        """A thousand images, requests included, at the pace of what costs so much an hour.

        Args:
            hour: Dollars an hour, of all workers together.
            images_per_s: What they do together; more than 0.
        """
        work = hour / (images_per_s * _SECONDS_AN_HOUR)
        # Two writes (input, outcome), two reads, and the calls of the queues.
        requests = 2 * self.s3_put + 2 * self.s3_get + _SQS_CALLS_AN_IMAGE * self.sqs_request
        return 1000 * (work + requests)


def runs_of(instances: Sequence[Instance], now: float) -> list[Run]:
    """The runs so far of instances that exist."""
    return [Run(one.kind, one.pricing, max(0.0, now - one.launched_at)) for one in instances]


def load_prices(region: str, override: Path | None = None) -> PriceTable:
    """Read the table that ships with the package, or one of the same form.

    A region without prices takes those of us-east-1, and `source` says so.

    Raises:
        ConfigurationError: The file cannot be read or has another form.
    """
    shipped = files("iraas.backends.aws.pricing").joinpath("prices.json")
    try:
        text = override.read_text("utf-8") if override else shipped.read_text("utf-8")
        return _parse(json.loads(text), region, str(override or "shipped with iraas"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ConfigurationError(
            f"the price table {override or 'of iraas'} cannot be used: {exc!r}",
            remedy="Give a file of the same form as iraas/backends/aws/pricing/prices.json.",
        ) from exc


def _parse(value: Any, region: str, source: str) -> PriceTable:
    if value["version"] != 1:
        raise ValueError(f"version {value['version']!r} is not 1")
    regions = value["on_demand_hour"]
    if region not in regions:
        source = f"{source}; us-east-1 stands in for {region}"
    prices = regions.get(region, regions["us-east-1"])
    if not prices:
        raise ValueError(f"no type of {region} has a price")
    requests = value["requests"]
    return PriceTable(
        region=region,
        as_of=str(value["as_of"]),
        source=source,
        on_demand_hour={kind: _price(price) for kind, price in prices.items()},
        spot_share=_price(value["spot_share"]),
        extras_hour=sum(map(_price, value["per_instance_hour"].values())),
        sqs_request=_price(requests["sqs_per_million"]) / 1e6,
        s3_put=_price(requests["s3_put_per_thousand"]) / 1e3,
        s3_get=_price(requests["s3_get_per_thousand"]) / 1e3,
        s3_gb_month=_price(value["s3_gb_month"]),
    )


def _price(value: Any) -> float:
    price = float(value)
    if not 0 <= price < PRICE_BOUND_USD:
        raise ValueError(f"{value!r} is no price")
    return price
