"""What all parts of a stack have in common."""

import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from iraas.backends.aws.errors import code_of
from iraas.backends.aws.fleet.config import FleetConfig
from iraas.backends.aws.names import DEPLOYMENT_TAG, Names
from iraas.backends.aws.session import AwsSession
from iraas.errors import ConfigurationError, WaitTimeoutError

State = Literal["absent", "ours", "foreign"]
Result = TypeVar("Result")
SETTLING_S = 60.0
SETTLING_EVERY_S = 2.0
"""What was made a moment ago is not known everywhere at once: for this long that is no error."""


@dataclass(frozen=True, slots=True)
class Found:
    """Whether a resource is there, and whose it is.

    Attributes:
        state: ``foreign`` has the name but not this deployment's tag: it is never touched.
        detail: What else a person may want to know.
    """

    state: State
    detail: str = ""


ABSENT = Found("absent")


class ManagedResource(Protocol):
    """A resource of a deployment, with a name that follows from the deployment's."""

    @property
    def kind(self) -> str:
        """What it is, for people."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def find(self) -> Found:
        """Look whether it is there."""
        ...

    def make(self) -> None:
        """Make it, or bring it up to date. Idempotent."""
        ...

    def remove(self) -> None:
        """Remove it, as far as it is ours. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class ProvisioningContext:
    """Where a stack is made, and how it waits.

    Attributes:
        session: Makes the calls.
        names: The deployment's names.
        options: What the deployment is to launch.
        report: Tells a person what is going on.
        sleep: Waits that many seconds.
        clock: Gives seconds, of any origin.
    """

    session: AwsSession
    names: Names
    options: FleetConfig
    report: Callable[[str], None] = lambda _: None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    @property
    def region(self) -> str:
        """The region."""
        return self.session.region

    @property
    def account(self) -> str:
        """The account."""
        return self.session.account()

    @property
    def inputs_bucket(self) -> str:
        """The bucket of the input store."""
        return self.names.inputs_bucket(self.account, self.region)

    @property
    def outputs_bucket(self) -> str:
        """The bucket of the output store, the records and the install files."""
        return self.names.outputs_bucket(self.account, self.region)

    @property
    def worker_role(self) -> str:
        """The workers' role."""
        return self.names.worker_role(self.region)

    @property
    def web_role(self) -> str:
        """The web tier's role."""
        return self.names.web_role(self.region)

    def tags(self, role: str) -> list[dict[str, str]]:
        """A resource's tags, as most services want them."""
        return [{"Key": key, "Value": value} for key, value in self.names.tags(role).items()]

    def found(self, tags: Mapping[str, str], detail: str = "") -> Found:
        """Judge a resource of our name by its tags."""
        if tags.get(DEPLOYMENT_TAG) == self.names.deployment:
            return Found("ours", detail)
        return Found("foreign", f"it has no tag {DEPLOYMENT_TAG}={self.names.deployment}")

    def wait(
        self, done: Callable[[], bool], what: str, *, at_most_s: float, every_s: float
    ) -> None:
        """Wait until something is so.

        Raises:
            WaitTimeoutError: It is not so in time.
        """
        deadline = self.clock() + at_most_s
        while not done():
            if self.clock() >= deadline:
                raise WaitTimeoutError(
                    f"{what} took longer than {at_most_s:.0f} s",
                    remedy="Run the command again: it goes on where this one stopped.",
                )
            self.sleep(every_s)

    def settling(self, call: Callable[[], Result], codes: Container[str]) -> Result:
        """Call until what was made, or removed, a moment ago is known everywhere; not for ever.

        Args:
            call: What to call; idempotent.
            codes: The service's error codes by which it says that it does not know yet.
        """
        deadline = self.clock() + SETTLING_S
        while True:
            try:
                return call()
            except Exception as exc:
                if code_of(exc) not in codes or self.clock() >= deadline:
                    raise
            self.sleep(SETTLING_EVERY_S)


def tag_map(tags: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """Tags as a dictionary, from the list that most services give."""
    return {str(tag["Key"]): str(tag["Value"]) for tag in tags or ()}


def refuse_foreign(part: ManagedResource, found: Found) -> None:
    """Stop before something that is not ours is changed.

    Raises:
        ConfigurationError: It is foreign.
    """
    if found.state == "foreign":
        raise ConfigurationError(
            f"the {part.kind} {part.name} is there, but this deployment did not make it: "
            f"{found.detail}",
            remedy="Choose another deployment name with --deployment, or remove it by hand.",
        )
