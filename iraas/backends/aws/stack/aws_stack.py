"""The stack on AWS: `iraas.core.ports.Stack`, and what provisioning can do beyond it."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from iraas.backends.aws.fleet_options import FleetOptions, KeptOptions
from iraas.backends.aws.launch_ledger import LaunchLedger
from iraas.backends.aws.names import Names
from iraas.backends.aws.prices import PriceTable, load_prices
from iraas.backends.aws.session import AwsSession
from iraas.backends.aws.stack.checks import Finding, check_site
from iraas.backends.aws.stack.composition import data_parts, other_parts
from iraas.backends.aws.stack.costs import StackCosts, stack_costs
from iraas.backends.aws.stack.images import bake_image
from iraas.backends.aws.stack.install_part import Artifacts
from iraas.backends.aws.stack.network import find_subnets
from iraas.backends.aws.stack.parts import Part, Site, refuse_foreign
from iraas.backends.aws.stack.spot_role import ensure_spot_role
from iraas.backends.aws.stack.strays import (
    ROLES,
    Stray,
    end_instances,
    find_images,
    find_instances,
    find_response_queues,
    find_volumes,
    instance_resources,
)
from iraas.core.ports import ObjectStore, Resource
from iraas.errors import IraasError, NotProvisionedError

_log = logging.getLogger(__name__)


class AwsStack:
    """A deployment's resources on AWS. Not for use by several threads."""

    def __init__(
        self,
        session: AwsSession,
        names: Names,
        records: ObjectStore,
        kept: KeptOptions,
        *,
        options: FleetOptions | None = None,
        bundle: Callable[[], Path] | None = None,
        prices: Path | None = None,
        report: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say whose resources; makes no call yet.

        Args:
            session: Makes the calls.
            names: The deployment's names.
            records: The records store, for the ledgers.
            kept: The options that the deployment was provisioned with.
            options: What it is to be provisioned with; None for what it was, or the defaults.
            bundle: Finds the model bundle's folder; needed to provision.
            prices: A price table of one's own.
            report: Tells a person what is going on.
            sleep: Waits that many seconds.
            clock: Gives seconds, of any origin.
        """
        self._session = session
        self._names = names
        self._kept = kept
        self._wanted = options
        self._artifacts = Artifacts(bundle)
        self._prices = prices
        self._ledgers = [LaunchLedger(records, role) for role in ROLES]
        self._report = report
        self._sleep = sleep
        self._clock = clock

    def plan(self) -> list[Resource]:
        """What a deployment is made of, there or not; then what it made while it worked.

        Something that has the name but is not ours is not there, and its detail says why.
        """
        site = self._site()
        resources = []
        for part in self._parts(site):
            found = part.find()
            ours = found.state == "ours"
            detail = f"not ours: {found.detail}" if found.state == "foreign" else found.detail
            resources.append(Resource(part.kind, part.name, exists=ours, detail=detail))
        return resources + self._found_by_tag(site)

    def costs(self) -> StackCosts:
        """What it costs by the hour, at rest and at its largest."""
        return stack_costs(self.options(), self.prices())

    def prices(self) -> PriceTable:
        """The price table of the region."""
        return load_prices(self._session.region, self._prices)

    def options(self) -> FleetOptions:
        """What the deployment is to launch: as asked for, or as provisioned, or the defaults."""
        if self._wanted is not None:
            return self._wanted
        try:
            return self._kept()
        except NotProvisionedError:
            return FleetOptions()

    def check(self) -> list[Finding]:
        """What would stand in the way: permissions, quotas, subnets. Changes nothing."""
        return check_site(self._site())

    def provision(self) -> None:
        """Make what is missing and bring the rest up to date. Idempotent.

        If it fails, what this call made is removed again, the last first; what was there before
        stays. After a failure, call it again.

        Raises:
            ConfigurationError: A name is taken by something that is not ours, or a model bundle,
                a subnet, a permission or a quota is missing.
            BackendError, WaitTimeoutError: AWS failed for now.
        """
        site = self._site()
        subnets = tuple(one.subnet_id for one in find_subnets(site))
        site = replace(site, options=replace(site.options, subnet_ids=subnets))
        parts = self._parts(site)
        before = [part.find() for part in parts]
        for part, found in zip(parts, before, strict=True):
            refuse_foreign(part, found)
        if "spot" in site.options.pricings:
            ensure_spot_role(site)
        made: list[Part] = []
        try:
            for part, found in zip(parts, before, strict=True):
                if found.state == "absent":
                    made.append(part)
                    self._report(f"making the {part.kind} {part.name}")
                part.make()
        except BaseException:
            self._undo(made)
            raise
        self._kept.forget()

    def teardown(self, *, keep_data: bool = False) -> None:
        """Remove everything of the deployment, strays included, and wait until it is gone.

        Idempotent. What has a name of ours but not our tag is not touched. Nothing can be launched
        any more once it has begun.

        Args:
            keep_data: Keep the two buckets and what is in them, but for what instances install.

        Raises:
            BackendError, ConfigurationError, WaitTimeoutError: Something remains; call it again.
        """
        site = self._site()
        parts = [part for part in self._parts(site) if part.find().state == "ours"]
        kept = [part.name for part in data_parts(site)] if keep_data else []
        templates = [part for part in parts if part.kind == "launch template"]
        for part in templates:
            self._remove(part)
        end_instances(site, self._ledgers)
        for stray in self._strays(site):
            stray.remove()
        for part in reversed(parts):
            if part.name not in kept and part not in templates:
                self._remove(part)
        end_instances(site, [])  # what a late launch may have brought meanwhile
        self._kept.forget()

    def remaining(self) -> list[Resource]:
        """What is still there of the deployment: the proof of a teardown is that this is empty."""
        return [one for one in self.plan() if one.exists]

    def bake(self) -> str:
        """Make an image with everything installed, let workers start from it, remove older ones.

        Returns:
            The image's id.

        Raises:
            NotProvisionedError: There is nothing yet to bake from.
            BackendError, WaitTimeoutError: It did not work; the image in use stays.
        """
        site = replace(self._site(), options=self._kept())
        image_id = bake_image(site, self._artifacts)
        site = replace(site, options=replace(site.options, image_id=image_id))
        for part in other_parts(site, self._artifacts):
            if part.kind in ("install files", "launch template"):
                part.make()
        self._kept.forget()
        self._wanted = None
        for stray in find_images(site):
            if stray.resource.kind == "image" and stray.resource.name != image_id:
                stray.remove()
        return image_id

    def _site(self) -> Site:
        return Site(
            self._session, self._names, self.options(), self._report, self._sleep, self._clock
        )

    def _parts(self, site: Site) -> list[Part]:
        return [*data_parts(site), *other_parts(site, self._artifacts)]

    def _strays(self, site: Site) -> list[Stray]:
        return [*find_response_queues(site), *find_images(site), *find_volumes(site)]

    def _found_by_tag(self, site: Site) -> list[Resource]:
        instances = instance_resources(find_instances(site))
        return instances + [stray.resource for stray in self._strays(site)]

    def _remove(self, part: Part) -> None:
        self._report(f"removing the {part.kind} {part.name}")
        part.remove()

    def _undo(self, made: list[Part]) -> None:
        for part in reversed(made):
            self._report(f"removing the {part.kind} {part.name} again")
            with suppress(IraasError):
                part.remove()
