"""The estimated cost of a job, printed before it is sent, and the limit on its spending."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from iraas.bootstrap import max_workers, open_aws
from iraas.core.ports import Backend
from iraas.core.settings import Settings
from iraas.monitoring.costs import delete_budget, set_budget

LARGE_JOB = 1000
"""The number of images from which on a job's cost is estimated."""

IMAGES_PER_WORKER_S = 60.0
"""The assumed speed of a worker with two virtual cores: measured on one core, not on EC2."""


def print_estimate(settings: Settings, images: int) -> None:
    """Print the estimated cost of a large job, on a backend that costs money."""
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
        f"(prices of {prices.as_of}, {IMAGES_PER_WORKER_S:g} images/s per worker assumed).",
        err=True,
    )


def check_spend_limit(settings: Settings, usd: float | None) -> None:
    """Check that a limit on spending can be enforced, before anything is sent.

    Raises:
        ConfigurationError: An instance type that may be launched has no price.
    """
    if usd is None or settings.backend == "local":
        return
    with open_aws(settings) as backend:
        instance_types = backend.provisioning.fleet_config().instance_types
        prices = backend.provisioning.prices()
        prices.check_priced(instance_types, "--max-spend cannot be enforced")


@contextmanager
def spending_at_most(backend: Backend, usd: float | None) -> Iterator[None]:
    """Within the context, launch nothing more once `usd` dollars are spent; None sets no limit."""
    if usd is None:
        yield
        return
    set_budget(backend, usd, since=time.time())
    try:
        yield
    finally:
        delete_budget(backend)
