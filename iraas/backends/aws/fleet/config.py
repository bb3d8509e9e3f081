"""What a deployment launches: kept with the deployment itself, so that everybody agrees on it."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from iraas.backends.aws.fleet.launch_candidates import Pricing
from iraas.core.ports import ObjectStore
from iraas.core.settings import MAX_FLEET
from iraas.errors import (
    BackendUnavailableError,
    ConfigurationError,
    NotProvisionedError,
    ObjectNotFoundError,
)

KNOWN_FOR_S = 60.0
OPTIONS_KEY = "options.json"
KINDS = ("c6a.large", "c6i.large", "c7i.large", "c5.large", "m6i.large")
"""Two cores and 4 GiB each, the cheapest first; several, since one type may be out of stock."""


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """What is launched, where, and for how long at most.

    Attributes:
        kinds: Instance types of the workers, in the order in which they are tried.
        pricings: Ways to pay, in the order in which they are tried.
        subnet_ids: Subnets of one VPC; empty for those of the default VPC, until provisioning has
            written down which they are.
        capacity: Workers at most, 1..19.
        max_life_min: A worker's hard maximum life, in minutes.
        web_kind: The web tier's instance type.
        web_life_min: The web tier's hard maximum life, in minutes.
        web_cidr: Who may reach the web tier's port, as an IPv4 range; empty for nobody.
        keep_data_days: Days until images, outcomes and records expire.
        image_id: An image with everything installed; empty for the newest Amazon Linux 2023.
    """

    kinds: tuple[str, ...] = KINDS
    pricings: tuple[Pricing, ...] = ("spot", "on-demand")
    subnet_ids: tuple[str, ...] = ()
    capacity: int = MAX_FLEET
    max_life_min: int = 360
    web_kind: str = "t3.small"
    web_life_min: int = 7 * 24 * 60
    web_cidr: str = ""
    keep_data_days: int = 30
    image_id: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.capacity <= MAX_FLEET:
            raise ConfigurationError(f"a fleet has 1..{MAX_FLEET} workers, not {self.capacity}")
        if not self.kinds or not self.pricings:
            raise ConfigurationError("a fleet needs an instance type and a way to pay")
        if min(self.max_life_min, self.web_life_min, self.keep_data_days) < 1:
            raise ConfigurationError("lives are at least a minute, data are kept at least a day")

    def encode(self) -> bytes:
        """The options as JSON."""
        return json.dumps(asdict(self), indent=1).encode()


def _check_pricings(names: tuple[str, ...]) -> None:
    if not set(names) <= {"spot", "on-demand"}:
        raise ValueError(f"pricings {names}")


def decode_options(data: bytes) -> FleetConfig:
    """Read options.

    Raises:
        NotProvisionedError: They are mangled.
    """
    try:
        value: dict[str, Any] = json.loads(data)
        known = {name: value[name] for name in FleetConfig.__dataclass_fields__ if name in value}
        for name in ("kinds", "pricings", "subnet_ids"):
            known[name] = tuple(map(str, known.get(name, ())))
        _check_pricings(known["pricings"])
        return FleetConfig(**known)
    except (ValueError, TypeError, KeyError, AttributeError, ConfigurationError) as exc:
        raise NotProvisionedError(
            f"the deployment's {OPTIONS_KEY} is mangled: {exc}",
            remedy="Write it anew with: iraas provision --backend aws",
        ) from exc


class KeptOptions:
    """The options of a deployment, read when they are needed and at most once a minute: a
    controller that runs for days learns so that the deployment was provisioned anew.
    """

    def __init__(
        self, install: Callable[[], ObjectStore], now: Callable[[], float] = time.monotonic
    ) -> None:
        """Make no call yet.

        Args:
            install: Opens the store of the install files.
            now: Gives seconds, of any origin.
        """
        self._install = install
        self._now = now
        self._options: FleetConfig | None = None
        self._read_at = 0.0

    def __call__(self) -> FleetConfig:
        """The options; those that are known, for another minute, while they cannot be read.

        Raises:
            NotProvisionedError: There are none (any more), or they are mangled.
            BackendError: They could not be read, and never were.
        """
        now = self._now()
        if self._options is not None and now - self._read_at < KNOWN_FOR_S:
            return self._options
        try:
            self._options = decode_options(self._install().get(OPTIONS_KEY))
        except ObjectNotFoundError as exc:
            self._options = None
            raise NotProvisionedError(
                "the deployment's fleet has not been provisioned",
                remedy="Make it with: iraas provision --backend aws",
            ) from exc
        except BackendUnavailableError:
            if self._options is None:
                raise
        self._read_at = now
        return self._options

    def forget(self) -> None:
        """Read them again when they are next needed."""
        self._options = None
