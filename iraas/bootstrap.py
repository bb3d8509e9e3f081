"""The composition root: from settings to an open backend, a model and a controller."""

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from iraas.core.autoscaling import BacklogPolicy
from iraas.core.fault_injection import FAULTS_VARIABLE
from iraas.core.resolver import settings_environment
from iraas.core.settings import MAX_FLEET, Settings
from iraas.errors import ConfigurationError, MissingExtraError, how_to_install
from iraas.sandbox.commands import module_command
from iraas.sandbox.environment import user_environment

if TYPE_CHECKING:
    from iraas.backends.aws.backend import AwsBackend
    from iraas.backends.aws.fleet.config import FleetConfig
    from iraas.controller.controller import Controller
    from iraas.core.ports import Backend


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def max_workers(settings: Settings) -> int:
    """The largest number of workers: as set, or 19, or locally one per core."""
    if settings.max_workers is not None:
        return settings.max_workers
    return MAX_FLEET if settings.backend == "aws" else min(cores(), MAX_FLEET)


@contextmanager
def open_backend(settings: Settings) -> Iterator["Backend"]:
    """Open the deployment's backend, and close it at the end.

    Raises:
        ConfigurationError: It cannot be used as it is set up.
    """
    if settings.backend == "local":
        backend: Backend = _local(settings)
    else:
        backend = _aws(settings, _print_notice, to_provision=False)
    try:
        yield backend
    finally:
        backend.close()


@contextmanager
def open_aws(settings: Settings, *, to_provision: bool = False) -> Iterator["AwsBackend"]:
    """Open a deployment on AWS, for the features that only AWS has; see `open_backend`.

    Args:
        settings: The settings.
        to_provision: Whether the fleet's settings are to be stored with the deployment.
    """
    backend = _aws(settings, _print_notice, to_provision=to_provision)
    try:
        yield backend
    finally:
        backend.close()


def ensure_model(settings: Settings, report: Callable[[str], None]) -> Path:
    """The folder of the model's bundle, which is made on first use.

    Args:
        settings: The settings.
        report: Called with a sentence for a person before the bundle is made.

    Raises:
        MissingExtraError: It has to be made and the packages for that are not installed.
        BundleError: It cannot be made.
    """
    from iraas.models.zoo import ensure_bundle  # noqa: PLC0415 - a classifier process has its bundle

    return ensure_bundle(settings.model, settings.cache, report=report)


def ensure_model_here(settings: Settings) -> None:
    """Make the model's bundle if workers run on this machine, with a notice on stderr.

    Raises:
        MissingExtraError: It has to be made and the packages for that are not installed.
        BundleError: It cannot be made.
    """
    if settings.backend == "local":
        ensure_model(settings, _print_notice)


def make_controller(
    settings: Settings, backend: "Backend", kind: "type[Controller] | None" = None
) -> "Controller":
    """The controller of a deployment, not started; of the class `kind` if one is given."""
    from iraas.controller.controller import (  # noqa: PLC0415 - a worker has no controller
        Controller,
        ControllerConfig,
    )

    policy = BacklogPolicy(settings.images_per_worker)
    # On EC2 each poll costs calls, and an instance without a baked image installs for minutes.
    on_aws = ControllerConfig(
        poll_interval_s=2.0, idle_s=20.0, startup_timeout_s=900.0, heartbeat_timeout_s=120.0
    )
    timing = ControllerConfig() if settings.backend == "local" else on_aws
    made = kind or Controller
    return made(backend, policy, cap=max_workers(settings), timing=timing, clock=time.time)


def new_requester_id(role: str) -> str:
    """A unique name for a response queue."""
    return f"{role}-{secrets.token_hex(8)}"


def iraas_command(*arguments: str) -> list[str]:
    """The command line that runs this installation of iraas."""
    return module_command("iraas", *arguments)


def iraas_environment(settings: Settings) -> dict[str, str]:
    """The environment of a worker or controller that is started here: the settings, and no secrets
    but the credentials of its AWS account.
    """
    inherited = user_environment(os.environ, with_aws=settings.backend == "aws")
    faults = {FAULTS_VARIABLE: os.environ[FAULTS_VARIABLE]} if FAULTS_VARIABLE in os.environ else {}
    return {**inherited, **settings_environment(settings), **faults}


def _print_notice(text: str) -> None:
    sys.stderr.write(text + "\n")


def check_home(home: Path) -> None:
    """Check that a home folder exists or can be made, without making it.

    Raises:
        ConfigurationError: Something else is at its path, or at that of a folder above it.
    """
    found = next(path for path in (home, *home.parents) if os.path.lexists(path))
    if not found.is_dir():
        raise ConfigurationError(
            f"the home {home} cannot be used: {found} is not a folder",
            remedy="Give another --home or IRAAS_HOME.",
        )


def _local(settings: Settings) -> "Backend":
    from iraas.backends.local.backend import LocalBackend  # noqa: PLC0415 - one backend is loaded

    check_home(settings.home)
    # One classifier process per worker: locally the fleet itself has a worker per core.
    worker = replace(settings, processes=settings.processes or 1)
    return LocalBackend(
        settings.home,
        settings.deployment,
        capacity=max_workers(settings),
        worker_command=iraas_command("worker"),
        worker_environment=iraas_environment(worker),
    )


def _aws(settings: Settings, report: Callable[[str], None], *, to_provision: bool) -> "AwsBackend":
    try:
        from iraas.backends.aws.backend import AwsBackend  # noqa: PLC0415 - one backend is loaded
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            f"the aws backend needs a package that is not installed: {exc.name}",
            remedy=how_to_install("aws"),
        ) from exc

    def opened(options: "FleetConfig | None") -> AwsBackend:
        return AwsBackend(
            settings.deployment,
            settings.region,
            options=options,
            capacity=max_workers(settings),
            bundle=lambda: ensure_model(settings, report),
            prices=settings.prices,
            report=report,
        )

    backend = opened(None)
    if not to_provision:
        return backend
    wanted = _fleet_options(settings, backend.stack.options())
    prices = backend.pricing
    backend.close()
    prices.check_priced([*wanted.kinds, wanted.web_kind], "the costs cannot be estimated")
    return opened(wanted)


def _fleet_options(settings: Settings, options: "FleetConfig") -> "FleetConfig":
    """The fleet's options to provision: as set, and otherwise as they were."""
    return replace(
        options,
        kinds=settings.instance_types or options.kinds,
        pricings=settings.pricing or options.pricings,
        subnet_ids=settings.subnets or options.subnet_ids,
        capacity=settings.max_workers or options.capacity,
        max_life_min=settings.max_life_min or options.max_life_min,
        keep_data_days=settings.keep_data_days or options.keep_data_days,
        web_kind=settings.web_instance_type or options.web_kind,
        web_cidr=options.web_cidr if settings.web_cidr is None else settings.web_cidr,
    )
