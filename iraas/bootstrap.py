"""Composition root: from settings to an open backend, a model bundle and a controller."""

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
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
    """The most workers: the setting, or 19, or locally one per core."""
    if settings.max_workers is not None:
        return settings.max_workers
    return MAX_FLEET if settings.backend == "aws" else min(cores(), MAX_FLEET)


@contextmanager
def open_backend(settings: Settings) -> Iterator["Backend"]:
    """Open the deployment's backend, and close it after the block.

    Raises:
        ConfigurationError: The settings cannot be used.
    """
    if settings.backend == "local":
        backend: Backend = _local(settings)
    else:
        backend = _aws(settings, _print_notice, to_provision=False)
    with closing(backend):
        yield backend


@contextmanager
def open_aws(settings: Settings, *, to_provision: bool = False) -> Iterator["AwsBackend"]:
    """Open a deployment on AWS, for functions that only AWS has, and close it after the block.

    Args:
        settings: The settings.
        to_provision: Whether provisioning is to store the fleet's settings in the deployment.

    Raises:
        ConfigurationError: The settings cannot be used.
    """
    with closing(_aws(settings, _print_notice, to_provision=to_provision)) as backend:
        yield backend


def ensure_model(settings: Settings, report: Callable[[str], None]) -> Path:
    """Make the model's bundle on its first use. Idempotent.

    Args:
        settings: The settings.
        report: Called with a sentence for the user before a step that takes time.

    Returns:
        The bundle's directory.

    Raises:
        MissingExtraError: The bundle has to be made and the packages for it are not installed.
        BundleError: It cannot be made.
    """
    from iraas.models.zoo import ensure_bundle  # noqa: PLC0415 - a classifier process has its bundle

    return ensure_bundle(settings.model, settings.cache, report=report)


def ensure_model_here(settings: Settings) -> None:
    """Make the model's bundle if workers run on this machine; reports to stderr. Idempotent.

    Raises:
        MissingExtraError: The bundle has to be made and the packages for it are not installed.
        BundleError: It cannot be made.
    """
    if settings.backend == "local":
        ensure_model(settings, _print_notice)


def make_controller(
    settings: Settings, backend: "Backend", kind: "type[Controller] | None" = None
) -> "Controller":
    """Make the controller of a deployment; it is not started.

    Args:
        settings: The settings.
        backend: The deployment.
        kind: A subclass of `Controller`; None for the class itself.
    """
    from iraas.controller.controller import (  # noqa: PLC0415 - a worker has no controller
        Controller,
        ControllerConfig,
    )

    policy = BacklogPolicy(settings.images_per_worker)
    # On EC2 a poll costs API calls, and an instance without a baked image installs for minutes.
    on_aws = ControllerConfig(
        poll_interval_s=2.0, idle_s=20.0, startup_timeout_s=900.0, heartbeat_timeout_s=120.0
    )
    timing = ControllerConfig() if settings.backend == "local" else on_aws
    made = kind or Controller
    return made(backend, policy, cap=max_workers(settings), config=timing, clock=time.time)


def new_requester_id(role: str) -> str:
    """A random id for the response queue of a requester with that role."""
    return f"{role}-{secrets.token_hex(8)}"


def iraas_command(*arguments: str) -> list[str]:
    """The command line that runs this installation of iraas."""
    return module_command("iraas", *arguments)


def iraas_environment(settings: Settings) -> dict[str, str]:
    """The environment of a worker or controller that is started here.

    It contains the settings and no secrets, except the access to AWS if the backend is AWS.
    """
    inherited = user_environment(os.environ, with_aws=settings.backend == "aws")
    faults = {FAULTS_VARIABLE: os.environ[FAULTS_VARIABLE]} if FAULTS_VARIABLE in os.environ else {}
    return {**inherited, **settings_environment(settings), **faults}


def _print_notice(text: str) -> None:
    sys.stderr.write(text + "\n")


def check_home(home: Path) -> None:
    """Check that a folder exists or could be made, without making it.

    Raises:
        ConfigurationError: The path, or a parent of it, is not a folder.
    """
    existing = next(path for path in (home, *home.parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise ConfigurationError(
            f"the home {home} cannot be used: {existing} is not a folder",
            remedy="Give another --home or IRAAS_HOME.",
        )


def _local(settings: Settings) -> "Backend":
    from iraas.backends.local.backend import LocalBackend  # noqa: PLC0415 - one backend is loaded

    check_home(settings.home)
    # One classifier process per worker: locally the fleet has as many workers as cores.
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
    except ImportError as exc:
        if (exc.name or "").startswith("iraas"):
            raise
        raise MissingExtraError(
            f"the aws backend needs a package that cannot be imported: {exc}",
            remedy=how_to_install("aws"),
        ) from exc

    def opened(config: "FleetConfig | None") -> AwsBackend:
        return AwsBackend(
            settings.deployment,
            settings.region,
            config=config,
            capacity=max_workers(settings),
            bundle=lambda: ensure_model(settings, report),
            prices=settings.prices,
            report=report,
        )

    backend = opened(None)
    if not to_provision:
        return backend
    wanted = _fleet_config(settings, backend.provisioning.fleet_config())
    prices = backend.pricing
    backend.close()
    prices.check_priced(
        [*wanted.instance_types, wanted.web_instance_type], "the costs cannot be estimated"
    )
    return opened(wanted)


def _fleet_config(settings: Settings, config: "FleetConfig") -> "FleetConfig":
    """What a deployment is provisioned with: as set, and otherwise as it was."""
    return replace(
        config,
        instance_types=settings.instance_types or config.instance_types,
        pricings=settings.pricing or config.pricings,
        subnet_ids=settings.subnets or config.subnet_ids,
        capacity=settings.max_workers or config.capacity,
        max_life_min=settings.max_life_min or config.max_life_min,
        keep_data_days=settings.keep_data_days or config.keep_data_days,
        web_instance_type=settings.web_instance_type or config.web_instance_type,
        web_cidr=config.web_cidr if settings.web_cidr is None else settings.web_cidr,
    )
