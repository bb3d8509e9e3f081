"""The stack on AWS: `iraas.core.ports.Stack`, and what provisioning can do beyond it."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from iraas.backends.aws.fleet.config import FleetConfig, KeptOptions
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger
from iraas.backends.aws.names import Names
from iraas.backends.aws.pricing.prices import PriceTable, load_prices
from iraas.backends.aws.provisioning.ami_baking import bake_image
from iraas.backends.aws.provisioning.costs import StackCosts, stack_costs
from iraas.backends.aws.provisioning.deployment import data_parts, install_part, other_parts
from iraas.backends.aws.provisioning.error_collector import ErrorCollector
from iraas.backends.aws.provisioning.install_files import Artifacts
from iraas.backends.aws.provisioning.network import Network, find_subnets
from iraas.backends.aws.provisioning.orphaned_resources import (
    ROLES,
    Stray,
    end_instances,
    find_groups,
    find_images,
    find_instances,
    find_response_queues,
    find_volumes,
    instance_resources,
)
from iraas.backends.aws.provisioning.preflight import Finding, check_site
from iraas.backends.aws.provisioning.resource import (
    ManagedResource,
    ProvisioningContext,
    refuse_foreign,
)
from iraas.backends.aws.provisioning.security_groups import groups_elsewhere, remove_unused_group
from iraas.backends.aws.provisioning.spot_role import ensure_spot_role
from iraas.backends.aws.session import AwsSession
from iraas.core.ports import ObjectStore, Resource
from iraas.errors import IraasError, NotProvisionedError, WaitTimeoutError

_STRAYS = (find_response_queues, find_images, find_volumes, find_groups)
_GONE_S = 120.0
"""How long AWS may list what was removed; SQS says a minute
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html)."""
_LOOK_EVERY_S = 3.0


class AwsStack:
    """A deployment's resources on AWS. Not for use by several threads."""

    def __init__(
        self,
        session: AwsSession,
        names: Names,
        records: ObjectStore,
        kept: KeptOptions,
        *,
        options: FleetConfig | None = None,
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
        data = [part.name for part in data_parts(site)]
        for part in self._parts(site):
            found = part.find()
            ours = found.state == "ours"
            detail = f"not ours: {found.detail}" if found.state == "foreign" else found.detail
            is_data = part.name in data
            resources.append(
                Resource(part.kind, part.name, exists=ours, detail=detail, is_data=is_data)
            )
        return resources + self._found_by_tag(site)

    def costs(self) -> StackCosts:
        """What it costs by the hour, at rest and at its largest."""
        return stack_costs(self.options(), self.prices())

    def prices(self) -> PriceTable:
        """The price table of the region."""
        return load_prices(self._session.region, self._prices)

    def options(self) -> FleetConfig:
        """What the deployment is to launch: as asked for, or as provisioned, or the defaults."""
        if self._wanted is not None:
            return self._wanted
        try:
            return self._kept()
        except NotProvisionedError:
            return FleetConfig()

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
        made: list[ManagedResource] = []
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
        self._remove_superseded(site)

    def teardown(self, *, keep_data: bool = False) -> None:
        """Remove everything of the deployment, strays included, and wait until it is gone.

        Idempotent. What has a name of ours but not our tag is not touched. Nothing can be launched
        any more once it has begun. What fails stops nothing else: instances, which cost money, are
        ended whatever else goes wrong.

        Args:
            keep_data: Keep the two buckets and what is in them, but for what instances install.

        Raises:
            BackendError, ConfigurationError, WaitTimeoutError: Something could not be removed;
                call it again. What is listed still after two minutes raises nothing: look at
                `remaining`.
        """
        failures = ErrorCollector(self._report)
        site = self._site(failures.attempt(self.options, FleetConfig()))
        parts = self._parts(site)
        kept = [part.name for part in data_parts(site)] if keep_data else []
        templates = [part for part in parts if part.kind == "launch template"]
        for part in templates:
            failures.attempt(partial(self._remove, part), None)
        failures.attempt(partial(end_instances, site, self._ledgers), None)
        for find in _STRAYS:
            strays: list[Stray] = failures.attempt(partial(find, site), [])
            for stray in strays:
                failures.attempt(stray.remove, None)
        for part in reversed(parts):
            if part.name not in kept and part not in templates:
                failures.attempt(partial(self._remove, part), None)
        # What a late launch may have brought meanwhile.
        failures.attempt(partial(end_instances, site, []), None)
        self._kept.forget()
        failures.raise_all()
        self._await_gone(site, keep_data=keep_data)

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

    def _site(self, options: FleetConfig | None = None) -> ProvisioningContext:
        chosen = options or self.options()
        return ProvisioningContext(
            self._session, self._names, chosen, self._report, self._sleep, self._clock
        )

    def _parts(self, site: ProvisioningContext) -> list[ManagedResource]:
        return [*data_parts(site), *other_parts(site, self._artifacts)]

    def _found_by_tag(self, site: ProvisioningContext) -> list[Resource]:
        instances = instance_resources(find_instances(site))
        strays = [stray for find in _STRAYS for stray in find(site)]
        return instances + [stray.resource for stray in strays]

    def _remove(self, part: ManagedResource) -> None:
        if part.find().state == "ours":
            self._report(f"removing the {part.kind} {part.name}")
            part.remove()

    def _undo(self, made: list[ManagedResource]) -> None:
        """Remove what was made, as far as it came to that: only what is ours by now."""
        for part in reversed(made):
            with suppress(IraasError):
                self._remove(part)

    def _await_gone(self, site: ProvisioningContext, *, keep_data: bool) -> None:
        """Look until nothing is listed any more: AWS goes on showing for a while what was removed,
        and an empty list is proof only then.
        """
        told = False

        def gone() -> bool:
            nonlocal told
            left = [one for one in self.remaining() if not (keep_data and one.is_data)]
            if left and not told:
                names = ", ".join(f"{one.kind} {one.name}" for one in left)
                self._report(f"waiting until AWS no longer lists {names}")
                told = True
            return not left

        with suppress(WaitTimeoutError):  # whoever asks for the proof sees what is left
            site.wait(gone, "the removal", at_most_s=_GONE_S, every_s=_LOOK_EVERY_S)

    def _remove_superseded(self, site: ProvisioningContext) -> None:
        """Remove what an earlier state of the deployment needed, unless an instance may use it."""
        for group in groups_elsewhere(site, Network(site)):
            if not remove_unused_group(site, group["GroupId"]):
                self._report(
                    f"the security group {group['GroupId']} of another VPC is in use; "
                    "provision or teardown removes it later"
                )
        if not find_instances(site, self._ledgers):
            install_part(site, self._artifacts).tidy()
