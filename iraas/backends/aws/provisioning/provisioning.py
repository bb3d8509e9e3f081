"""The `Provisioning` port on AWS, plus preflight checks, costs and AMI baking."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from iraas.backends.aws.fleet.config import FleetConfig, StoredFleetConfig
from iraas.backends.aws.fleet.ec2_instances import INSTANCE_ROLES
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger
from iraas.backends.aws.names import Names
from iraas.backends.aws.pricing.prices import PriceTable, load_prices
from iraas.backends.aws.provisioning.ami_baking import bake_image
from iraas.backends.aws.provisioning.costs import DeploymentCosts, deployment_costs
from iraas.backends.aws.provisioning.deployment import (
    data_resources,
    install_files_resource,
    other_resources,
)
from iraas.backends.aws.provisioning.error_collector import ErrorCollector
from iraas.backends.aws.provisioning.install_files import Artifacts
from iraas.backends.aws.provisioning.network import Network, find_subnets
from iraas.backends.aws.provisioning.orphaned_resources import (
    OrphanedResource,
    find_groups,
    find_images,
    find_instances,
    find_response_queues,
    find_volumes,
    instance_resources,
    terminate_all,
)
from iraas.backends.aws.provisioning.preflight import PreflightResult, run_preflight
from iraas.backends.aws.provisioning.resource import (
    ManagedResource,
    ProvisioningContext,
    refuse_unmanaged,
)
from iraas.backends.aws.provisioning.security_groups import groups_elsewhere, remove_unused_group
from iraas.backends.aws.provisioning.spot_role import ensure_spot_role
from iraas.backends.aws.session import AwsSession
from iraas.core.ports import ObjectStore, Resource
from iraas.errors import IraasError, NotProvisionedError, WaitTimeoutError

_ORPHAN_FINDERS = (find_response_queues, find_images, find_volumes, find_groups)
_REMOVAL_TIMEOUT_S = 120.0
"""Limit on waiting for removed resources to disappear from listings; SQS documents one minute
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html)."""
_REMOVAL_POLL_S = 3.0


class AwsProvisioning:
    """Creates, inspects and removes a deployment's resources on AWS. Not thread-safe."""

    def __init__(
        self,
        session: AwsSession,
        names: Names,
        records: ObjectStore,
        stored: StoredFleetConfig,
        *,
        config: FleetConfig | None = None,
        bundle: Callable[[], Path] | None = None,
        prices: Path | None = None,
        report: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the object without calling AWS.

        Args:
            session: Makes the AWS calls.
            names: The deployment's resource names.
            records: The records store, which holds the launch ledgers.
            stored: The configuration that the deployment was provisioned with.
            config: The configuration to provision; None for the stored one, or the defaults.
            bundle: Returns the model bundle's folder; required to provision.
            prices: A price table that replaces the one in the package.
            report: Called with progress messages.
            sleep: Waits for a number of seconds.
            clock: Monotonic clock, in seconds.
        """
        self._session = session
        self._names = names
        self._stored = stored
        self._requested = config
        self._artifacts = Artifacts(bundle)
        self._prices = prices
        self._ledgers = [LaunchLedger(records, role) for role in INSTANCE_ROLES]
        self._report = report
        self._sleep = sleep
        self._clock = clock

    def plan(self) -> list[Resource]:
        """List the deployment's resources, existing or not, then those it created at run time.

        A resource that has the name but not the deployment's tag counts as absent; its detail says
        why.
        """
        context = self._context()
        data = [resource.name for resource in data_resources(context)]
        planned = []
        for resource in self._resources(context):
            status = resource.find()
            detail = status.detail
            if status.state == "unmanaged":
                detail = f"not managed by this deployment: {detail}"
            planned.append(
                Resource(
                    resource.kind,
                    resource.name,
                    exists=status.state == "managed",
                    detail=detail,
                    is_data=resource.name in data,
                )
            )
        return planned + self._found_by_tag(context)

    def costs(self) -> DeploymentCosts:
        """Estimate the hourly costs, idle and at full capacity."""
        return deployment_costs(self.fleet_config(), self.prices())

    def prices(self) -> PriceTable:
        """The region's price table."""
        return load_prices(self._session.region, self._prices)

    def fleet_config(self) -> FleetConfig:
        """The requested configuration, or else the stored one, or else the defaults."""
        if self._requested is not None:
            return self._requested
        try:
            return self._stored()
        except NotProvisionedError:
            return FleetConfig()

    def check(self) -> list[PreflightResult]:
        """Check permissions, quotas and subnets. Changes nothing."""
        return run_preflight(self._context())

    def provision(self) -> None:
        """Create missing resources and update the others. Idempotent.

        If it fails, the resources created by this call are removed again in reverse order, and
        those that existed before stay. It is safe to call again.

        Raises:
            ConfigurationError: A name is taken by an unmanaged resource, or a model bundle, subnet,
                permission or quota is missing.
            BackendError, WaitTimeoutError: AWS failed.
        """
        context = self._context()
        subnets = tuple(subnet.subnet_id for subnet in find_subnets(context))
        context = replace(context, config=replace(context.config, subnet_ids=subnets))
        resources = self._resources(context)
        before = [resource.find() for resource in resources]
        for resource, status in zip(resources, before, strict=True):
            refuse_unmanaged(resource, status)
        if "spot" in context.config.pricings:
            ensure_spot_role(context)
        created: list[ManagedResource] = []
        try:
            for resource, status in zip(resources, before, strict=True):
                if status.state == "absent":
                    created.append(resource)
                    self._report(f"creating the {resource.kind} {resource.name}")
                resource.make()
        except BaseException:
            self._roll_back(created)
            raise
        self._stored.invalidate()
        self._remove_superseded(context)

    def teardown(self, *, keep_data: bool = False) -> None:
        """Remove all resources, orphaned ones included, and wait until they are gone. Idempotent.

        Resources without the deployment's tag are left alone. The launch templates go first, so
        that nothing can be launched any more. A failure does not stop the remaining steps:
        instances, which cost money, are terminated in any case.

        Args:
            keep_data: Keep the two buckets and their contents, except the install files.

        Raises:
            BackendError, ConfigurationError, WaitTimeoutError: Something could not be removed; it
                is safe to call again. Resources that are still listed after `_REMOVAL_TIMEOUT_S`
                raise nothing: see `remaining`.
        """
        errors = ErrorCollector(self._report)
        context = self._context(errors.attempt(self.fleet_config, FleetConfig()))
        resources = self._resources(context)
        kept = [resource.name for resource in data_resources(context)] if keep_data else []
        templates = [resource for resource in resources if resource.kind == "launch template"]
        for resource in templates:
            errors.attempt(partial(self._remove, resource), None)
        errors.attempt(partial(terminate_all, context, self._ledgers), None)
        for find in _ORPHAN_FINDERS:
            orphans: list[OrphanedResource] = errors.attempt(partial(find, context), [])
            for orphan in orphans:
                errors.attempt(orphan.remove, None)
        for resource in reversed(resources):
            if resource.name not in kept and resource not in templates:
                errors.attempt(partial(self._remove, resource), None)
        # A launch that was under way may have taken effect meanwhile.
        errors.attempt(partial(terminate_all, context, []), None)
        self._stored.invalidate()
        errors.raise_all()
        self._await_removal(context, keep_data=keep_data)

    def remaining(self) -> list[Resource]:
        """List the resources that exist; empty after a complete teardown."""
        return [resource for resource in self.plan() if resource.exists]

    def bake(self) -> str:
        """Bake an AMI with everything installed, use it for new workers, and remove older ones.

        Returns:
            The AMI's id.

        Raises:
            NotProvisionedError: The deployment has not been provisioned.
            BackendError, WaitTimeoutError: Baking failed; the AMI in use stays.
        """
        context = replace(self._context(), config=self._stored())
        image_id = bake_image(context, self._artifacts)
        context = replace(context, config=replace(context.config, image_id=image_id))
        for resource in other_resources(context, self._artifacts):
            if resource.kind in ("install files", "launch template"):
                resource.make()
        self._stored.invalidate()
        self._requested = None
        for orphan in find_images(context):
            if orphan.resource.kind == "image" and orphan.resource.name != image_id:
                orphan.remove()
        return image_id

    def _context(self, config: FleetConfig | None = None) -> ProvisioningContext:
        return ProvisioningContext(
            self._session,
            self._names,
            config or self.fleet_config(),
            self._report,
            self._sleep,
            self._clock,
        )

    def _resources(self, context: ProvisioningContext) -> list[ManagedResource]:
        return [*data_resources(context), *other_resources(context, self._artifacts)]

    def _found_by_tag(self, context: ProvisioningContext) -> list[Resource]:
        instances = instance_resources(find_instances(context))
        orphans = [orphan for find in _ORPHAN_FINDERS for orphan in find(context)]
        return instances + [orphan.resource for orphan in orphans]

    def _remove(self, resource: ManagedResource) -> None:
        if resource.find().state == "managed":
            self._report(f"removing the {resource.kind} {resource.name}")
            resource.remove()

    def _roll_back(self, created: list[ManagedResource]) -> None:
        for resource in reversed(created):
            with suppress(IraasError):
                self._remove(resource)

    def _await_removal(self, context: ProvisioningContext, *, keep_data: bool) -> None:
        """Poll until nothing is listed any more: AWS lists removed resources for a while."""
        reported = False

        def is_gone() -> bool:
            nonlocal reported
            remaining = [one for one in self.remaining() if not (keep_data and one.is_data)]
            if remaining and not reported:
                names = ", ".join(f"{one.kind} {one.name}" for one in remaining)
                self._report(f"waiting until AWS no longer lists {names}")
                reported = True
            return not remaining

        with suppress(WaitTimeoutError):  # the caller's next call of `remaining` shows the rest
            context.wait(
                is_gone,
                "the removal",
                timeout_s=_REMOVAL_TIMEOUT_S,
                poll_interval_s=_REMOVAL_POLL_S,
            )

    def _remove_superseded(self, context: ProvisioningContext) -> None:
        """Remove resources of an earlier configuration unless an instance may still use them."""
        for group in groups_elsewhere(context, Network(context)):
            if not remove_unused_group(context, group["GroupId"]):
                self._report(
                    f"the security group {group['GroupId']} of another VPC is in use; "
                    "provision or teardown removes it later"
                )
        if not find_instances(context, self._ledgers):
            install_files_resource(context, self._artifacts).remove_superseded()
