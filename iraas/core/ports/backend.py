"""A backend as a whole: a deployment's queues, stores and fleet, and its resources."""

from dataclasses import dataclass
from typing import Protocol

from iraas.core.ports.fleets import ControllerLease, Fleet, Pricing
from iraas.core.ports.queues import Queue, ResponseQueues
from iraas.core.ports.stores import ObjectStore, Storage


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a deployment.

    Attributes:
        kind: Its kind: ``queue``, ``bucket``, ``folder``, ``instance`` …
        name: Its name.
        exists: Whether it exists now.
        detail: Further information for people, such as its size or cost.
        is_data: Whether ``teardown(keep_data=True)`` keeps it.
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
        """List the resources of the deployment, whether they exist or not."""
        ...

    def provision(self) -> None:
        """Create the missing resources. Idempotent; after a failure, call it again."""
        ...

    def teardown(self, *, keep_data: bool = False) -> None:
        """Terminate all workers, then remove the deployment's resources. Never touches a resource
        that it did not create. Idempotent.

        Args:
            keep_data: Whether to keep the stores.
        """
        ...


class Backend(Protocol):
    """A deployment on one backend, ready to use. Opening one makes no remote call."""

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
        """The records store: jobs, manifests, workers' records, decisions."""
        ...

    @property
    def storage(self) -> Storage:
        """The disk space used by images."""
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
        """The prices of its instances."""
        ...

    def close(self) -> None:
        """Close connections and files. Idempotent."""
        ...
