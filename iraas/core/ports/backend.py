"""A backend as a whole: a deployment's queues, stores and fleet, and what it is made of."""

from dataclasses import dataclass
from typing import Protocol

from iraas.core.ports.fleets import ControllerLease, Fleet, Pricing
from iraas.core.ports.queues import Queue, ResponseQueues
from iraas.core.ports.stores import ObjectStore, Storage


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that a deployment is made of.

    Attributes:
        kind: What it is: ``queue``, ``bucket``, ``folder``, ``instance`` …
        name: Its name.
        exists: Whether it is there now.
        detail: What else a person may want to know: its size, its cost.
        is_data: Whether a teardown that keeps the data keeps it.
    """

    kind: str
    name: str
    exists: bool
    detail: str = ""
    is_data: bool = False


class Provisioning(Protocol):
    """A deployment's resources, made and removed as a whole; found by name and tag, never by a
    state file.
    """

    def plan(self) -> list[Resource]:
        """What a deployment is made of, there or not."""
        ...

    def provision(self) -> None:
        """Make what is missing. Idempotent; after a failure, call it again."""
        ...

    def teardown(self, *, keep_data: bool = False) -> None:
        """End all workers, then remove everything of the deployment, the stores too unless
        `keep_data`. Never touches what it did not make. Idempotent.
        """
        ...


class Backend(Protocol):
    """A deployment on one backend, ready to use. Opening one makes no call yet."""

    @property
    def name(self) -> str:
        """``local``, ``aws`` or ``memory``."""
        ...

    @property
    def requests(self) -> Queue:
        """The request queue."""
        ...

    @property
    def dead_letters(self) -> Queue:
        """The dead-letter queue."""
        ...

    @property
    def responses(self) -> ResponseQueues:
        """The response queues."""
        ...

    @property
    def inputs(self) -> ObjectStore:
        """The input store."""
        ...

    @property
    def outputs(self) -> ObjectStore:
        """The output store: outcomes and nothing else."""
        ...

    @property
    def records(self) -> ObjectStore:
        """Jobs, manifests, workers' records and decisions."""
        ...

    @property
    def storage(self) -> Storage:
        """The space that images take."""
        ...

    @property
    def fleet(self) -> Fleet:
        """The fleet."""
        ...

    @property
    def lease(self) -> ControllerLease:
        """The controller's lease."""
        ...

    @property
    def provisioning(self) -> Provisioning:
        """The resources as a whole."""
        ...

    @property
    def pricing(self) -> Pricing:
        """What its instances cost."""
        ...

    def close(self) -> None:
        """Let go of connections and files. Idempotent."""
        ...
