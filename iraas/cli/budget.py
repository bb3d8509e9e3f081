"""What a job will cost, told before it is sent, and the bound that a person sets on it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from iraas.bootstrap import max_workers, open_aws
from iraas.core.ports import Backend
from iraas.core.settings import Settings
from iraas.monitoring.costs import delete_budget, set_budget

LARGE_JOB = 1000
"""Images from which on a job's cost is worth a sentence."""

IMAGES_PER_WORKER_S = 60.0
"""What a worker of two virtual cores is taken to do: assumed from one physical core elsewhere, and
not measured on EC2."""


def tell_estimate(settings: Settings, images: int) -> None:
    """Say what a large job will cost about, on a backend that costs money."""
    if settings.backend == "local" or images < LARGE_JOB:
        return
    with open_aws(settings) as backend:
        config = backend.provisioning.fleet_config()
        prices = backend.provisioning.prices()
        hour = prices.hour_usd(config.instance_types[0], config.pricings[0])
        usd = images / 1000 * prices.per_thousand_images(hour, IMAGES_PER_WORKER_S)
    workers = max_workers(settings)
    minutes = images / IMAGES_PER_WORKER_S / workers / 60
    typer.echo(
        f"{images:,} images: about ${usd:.2f}, and {minutes:.0f} min of {workers} workers "
        f"(prices of {prices.as_of}, {IMAGES_PER_WORKER_S:g} images/s a worker assumed).",
        err=True,
    )


def check_spend_limit(settings: Settings, usd: float | None) -> None:
    """Refuse a limit on spending that could not be held, before anything is sent.

    Raises:
        ConfigurationError: Something that may be launched has no price.
    """
    if usd is None or settings.backend == "local":
        return
    from iraas.backends.aws.pricing.prices import require_prices  # noqa: PLC0415 - only if it is on aws

    with open_aws(settings) as backend:
        instance_types = backend.provisioning.fleet_config().instance_types
        require_prices(instance_types, backend.provisioning.prices(), "--max-spend cannot be held")


@contextmanager
def spending_at_most(backend: Backend, usd: float | None) -> Iterator[None]:
    """Have nothing launched once so much has been spent from now on, for as long as this lasts."""
    if usd is None:
        yield
        return
    set_budget(backend, usd, since=time.time())
    try:
        yield
    finally:
        delete_budget(backend)
