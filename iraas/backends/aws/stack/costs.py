"""What a deployment costs by the hour, at rest and at its largest."""

from dataclasses import dataclass

from iraas.backends.aws.fleet_options import FleetOptions
from iraas.backends.aws.prices import PriceTable


@dataclass(frozen=True, slots=True)
class StackCosts:
    """Estimates, in US dollars.

    Attributes:
        rest_hour: An hour without any instance: nothing, but for what is stored.
        web_hour: An hour of the web tier's instance.
        full_hour: An hour of all workers, at the dearest type and way to pay that may be tried.
        cheapest_full_hour: The same at the first that is tried.
        cap: Workers at most.
        as_of: The month of the prices.
        source: Where the prices are from.
    """

    rest_hour: float
    web_hour: float
    full_hour: float
    cheapest_full_hour: float
    cap: int
    as_of: str
    source: str

    def lines(self) -> list[str]:
        """The same, for people."""
        full = f"${self.cheapest_full_hour:.2f} to ${self.full_hour:.2f} an hour"
        return [
            f"At rest: ${self.rest_hour:.2f} an hour; what is stored costs by the gigabyte.",
            f"With the web tier: ${self.web_hour:.3f} an hour.",
            f"At the cap of {self.cap} workers: {full}.",
            f"Approximate prices of {self.as_of} ({self.source}); the bill is AWS's.",
        ]


def stack_costs(options: FleetOptions, prices: PriceTable) -> StackCosts:
    """What a deployment with these options costs. Types without a price are left out."""
    hours = [
        hour
        for kind in options.kinds
        for pricing in options.pricings
        if (hour := prices.instance_hour(kind, pricing)) is not None
    ]
    first = prices.instance_hour(options.kinds[0], options.pricings[0])
    return StackCosts(
        rest_hour=0.0,
        web_hour=prices.instance_hour(options.web_kind, "on-demand") or 0.0,
        full_hour=options.capacity * max(hours, default=0.0),
        cheapest_full_hour=options.capacity * (first or min(hours, default=0.0)),
        cap=options.capacity,
        as_of=prices.as_of,
        source=prices.source,
    )
