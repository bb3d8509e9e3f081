"""What a deployment costs by the hour, at rest and at its largest."""

from dataclasses import dataclass

from iraas.backends.aws.fleet.config import FleetConfig
from iraas.backends.aws.pricing.prices import PriceTable

IDLE_WRITES_AN_HOUR = 2600
IDLE_READS_AN_HOUR = 1500
IDLE_QUEUE_CALLS_AN_HOUR = 3700
"""What the web tier calls while nobody sends anything, counted from the code. S3 bills a listing as
a write. The controller's look, every 22 s: one listing, one renewal of the lease; a note a minute;
the depth of the queue every 2 s; two calls for tidying up every 44 s. The web server's look at the
status, every 5 s: three listings, two reads, two depths. DescribeInstances is free."""


@dataclass(frozen=True, slots=True)
class StackCosts:
    """Estimates, in US dollars.

    Attributes:
        rest_hour: An hour without any instance: nothing, but for what is stored.
        web_hour: An hour of the web tier while nobody sends anything: its instance and its calls.
        web_calls_hour: The calls among it.
        full_hour: An hour of all workers, at the dearest type and way to pay that may be tried.
        cheapest_full_hour: The same at the first that is tried.
        cap: Workers at most.
        as_of: The month of the prices.
        source: Where the prices are from.
        unpriced: Types without a price; they count as the dearest that has one.
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
        """The same, for people."""
        full = f"${self.cheapest_full_hour:.2f} to ${self.full_hour:.2f} an hour"
        calls = f"${self.web_calls_hour:.3f} of it for calls to S3 and SQS"
        return [
            f"At rest: ${self.rest_hour:.2f} an hour; what is stored costs by the gigabyte.",
            f"With the web tier: ${self.web_hour:.3f} an hour, {calls}.",
            f"At the cap of {self.cap} workers: {full}.",
            *(f"{kind} has no price and counts as the dearest type." for kind in self.unpriced),
            f"Approximate prices of {self.as_of} ({self.source}); the bill is AWS's.",
        ]


def stack_costs(options: FleetConfig, prices: PriceTable) -> StackCosts:
    """What a deployment with these options costs."""
    hours = [prices.hour_usd(kind, how) for kind in options.kinds for how in options.pricings]
    calls_hour = (
        IDLE_WRITES_AN_HOUR * prices.s3_put
        + IDLE_READS_AN_HOUR * prices.s3_get
        + IDLE_QUEUE_CALLS_AN_HOUR * prices.sqs_request
    )
    kinds = dict.fromkeys([*options.kinds, options.web_kind])
    return StackCosts(
        rest_hour=0.0,
        web_hour=prices.hour_usd(options.web_kind, "on-demand") + calls_hour,
        web_calls_hour=calls_hour,
        full_hour=options.capacity * max(hours),
        cheapest_full_hour=options.capacity
        * prices.hour_usd(options.kinds[0], options.pricings[0]),
        cap=options.capacity,
        as_of=prices.as_of,
        source=prices.source,
        unpriced=tuple(kind for kind in kinds if not prices.has_price(kind)),
    )
