"""Fleet configuration: what a deployment launches, stored with the deployment itself."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from iraas.backends.aws.fleet.launch_candidates import (
    LaunchCandidate,
    LaunchCandidates,
    Pricing,
    launch_candidates,
)
from iraas.core.json_record import stored_name, write_record
from iraas.core.ports import ObjectStore
from iraas.core.settings import MAX_FLEET
from iraas.errors import (
    BackendUnavailableError,
    ConfigurationError,
    NotProvisionedError,
    ObjectNotFoundError,
)

CONFIG_CACHE_TTL_S = 60.0
CONFIG_KEY = "options.json"
DEFAULT_INSTANCE_TYPES = ("c6a.large", "c6i.large", "c7i.large", "c5.large", "m6i.large")
"""Two cores and 4 GiB each, cheapest first; several, since one type may be out of stock."""


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """Instance types, pricing, network and lifetimes of a deployment's instances.

    Attributes:
        instance_types: Instance types of the workers, in order of preference.
        pricings: Pricing models, in order of preference.
        subnet_ids: Subnets of one VPC. Empty for those of the default VPC, until provisioning
            stores their ids.
        capacity: Maximum number of workers, 1..19.
        max_life_min: Maximum lifetime of a worker, in minutes.
        web_instance_type: The web tier's instance type.
        web_life_min: Maximum lifetime of the web tier's instance, in minutes.
        web_cidr: IPv4 range that may reach the web tier's port; empty for none.
        keep_data_days: Days until images, outcomes and records expire.
        image_id: A baked AMI; empty for the latest Amazon Linux 2023.

    Raises:
        ConfigurationError: A value is out of range or a list is empty.
    """

    instance_types: tuple[str, ...] = field(
        default=DEFAULT_INSTANCE_TYPES, metadata={"stored": "kinds"}
    )
    pricings: tuple[Pricing, ...] = ("spot", "on-demand")
    subnet_ids: tuple[str, ...] = ()
    capacity: int = MAX_FLEET
    max_life_min: int = 360
    web_instance_type: str = field(default="t3.small", metadata={"stored": "web_kind"})
    web_life_min: int = 7 * 24 * 60
    web_cidr: str = ""
    keep_data_days: int = 30
    image_id: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.capacity <= MAX_FLEET:
            raise ConfigurationError(f"a fleet has 1..{MAX_FLEET} workers, not {self.capacity}")
        if not self.instance_types or not self.pricings:
            raise ConfigurationError("a fleet needs an instance type and a pricing model")
        if min(self.max_life_min, self.web_life_min, self.keep_data_days) < 1:
            raise ConfigurationError(
                "lifetimes must be at least one minute, and data retention at least one day"
            )

    def encode(self) -> bytes:
        """The configuration as JSON."""
        return write_record(self, indent=1)


def _check_pricings(names: tuple[str, ...]) -> None:
    if not set(names) <= {"spot", "on-demand"}:
        raise ValueError(f"pricings {names}")


def decode_config(data: bytes) -> FleetConfig:
    """Parse a stored configuration. Unknown fields are ignored.

    Raises:
        NotProvisionedError: It is corrupt.
    """
    try:
        value: dict[str, Any] = json.loads(data)
        stored = {field.name: stored_name(field) for field in fields(FleetConfig)}
        known = {name: value[key] for name, key in stored.items() if key in value}
        for name in ("instance_types", "pricings", "subnet_ids"):
            known[name] = tuple(map(str, known.get(name, ())))
        _check_pricings(known["pricings"])
        return FleetConfig(**known)
    except (ValueError, TypeError, KeyError, AttributeError, ConfigurationError) as exc:
        raise NotProvisionedError(
            f"the deployment's {CONFIG_KEY} is corrupt: {exc}",
            remedy="Write a new one with: iraas provision --backend aws",
        ) from exc


class StoredFleetConfig:
    """A deployment's stored configuration, cached for `CONFIG_CACHE_TTL_S`.

    A controller that runs for days thus notices within a minute when the deployment is provisioned
    again. Not thread-safe by itself; a lost race costs one more read.
    """

    def __init__(
        self, install: Callable[[], ObjectStore], now: Callable[[], float] = time.monotonic
    ) -> None:
        """Create the cache without reading anything.

        Args:
            install: Opens the store of the install files.
            now: Clock, in seconds of any origin.
        """
        self._install = install
        self._now = now
        self._config: FleetConfig | None = None
        self._read_at = 0.0

    def __call__(self) -> FleetConfig:
        """Return the configuration; while the store is unavailable, the cached one.

        Raises:
            NotProvisionedError: There is none, or it is corrupt.
            BackendError: It cannot be read and is not cached.
        """
        now = self._now()
        if self._config is not None and now - self._read_at < CONFIG_CACHE_TTL_S:
            return self._config
        try:
            self._config = decode_config(self._install().get(CONFIG_KEY))
        except ObjectNotFoundError as exc:
            self._config = None
            raise NotProvisionedError(
                "the deployment's fleet has not been provisioned",
                remedy="Provision it with: iraas provision --backend aws",
            ) from exc
        except BackendUnavailableError:
            if self._config is None:
                raise
        self._read_at = now
        return self._config

    def invalidate(self) -> None:
        """Drop the cached configuration."""
        self._config = None


def worker_candidates(config: FleetConfig) -> tuple[LaunchCandidate, ...]:
    """Launch candidates for workers, in order of preference."""
    return launch_candidates(config.instance_types, config.subnet_ids, config.pricings)


def web_candidates(config: FleetConfig) -> tuple[LaunchCandidate, ...]:
    """Launch candidates for the web tier: on demand only."""
    return launch_candidates([config.web_instance_type], config.subnet_ids, ["on-demand"])


class CurrentLaunchCandidates:
    """Launch candidates of the current configuration, with their cooldowns.

    Returns the same object until the configuration changes, so that cooldowns persist. Thread-safe.
    """

    def __init__(
        self,
        stored: Callable[[], FleetConfig],
        to_candidates: Callable[[FleetConfig], tuple[LaunchCandidate, ...]],
        clock: Callable[[], float],
    ) -> None:
        """Create the cache without reading anything.

        Args:
            stored: Returns the deployment's configuration.
            to_candidates: Derives the launch candidates from it.
            clock: Seconds since the epoch.
        """
        self._stored = stored
        self._to_candidates = to_candidates
        self._clock = clock
        self._built_from: FleetConfig | None = None
        self._current: LaunchCandidates | None = None
        self._lock = threading.Lock()

    def __call__(self) -> LaunchCandidates:
        """Return the current candidates.

        Raises:
            NotProvisionedError: There is no configuration.
            BackendError: It cannot be read.
        """
        with self._lock:
            stored = self._stored()
            if self._current is None or stored != self._built_from:
                candidates = self._to_candidates(stored)
                self._current = LaunchCandidates(
                    candidates, self._clock, max_instances=stored.capacity
                )
                self._built_from = stored
            return self._current
