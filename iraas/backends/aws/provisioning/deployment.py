"""Which parts a deployment has, in the order in which they are made."""

from iraas.backends.aws.fleet.user_data import MachineRole, UserData
from iraas.backends.aws.iam.policies import Place
from iraas.backends.aws.iam.role_permissions import (
    IMAGE_PARAMETER,
    web_statements,
    worker_statements,
)
from iraas.backends.aws.names import IMAGES_PREFIX, OUTCOMES_PREFIX, RECORDS_PREFIX, WEB_PREFIX
from iraas.backends.aws.provisioning.bucket import BucketPart
from iraas.backends.aws.provisioning.install_files import Artifacts, InstallPart
from iraas.backends.aws.provisioning.launch_templates import TemplateFacts, TemplatePart
from iraas.backends.aws.provisioning.network import Network
from iraas.backends.aws.provisioning.queues import queue_parts
from iraas.backends.aws.provisioning.resource import ManagedResource, ProvisioningContext
from iraas.backends.aws.provisioning.roles import RolePart
from iraas.backends.aws.provisioning.security_groups import SecurityGroupPart

NEWEST_IMAGE = f"resolve:ssm:{IMAGE_PARAMETER}"
"""EC2 looks the image up at each launch, so that a new instance has the newest patches."""


def data_parts(site: ProvisioningContext) -> list[ManagedResource]:
    """The buckets."""
    return [
        BucketPart(site, site.inputs_bucket, "input-store", (IMAGES_PREFIX,)),
        _outputs_bucket(site),
    ]


def install_part(site: ProvisioningContext, artifacts: Artifacts) -> InstallPart:
    """What instances install."""
    return InstallPart(site, artifacts, _outputs_bucket(site))


def other_parts(site: ProvisioningContext, artifacts: Artifacts) -> list[ManagedResource]:
    """All but the buckets: what can be made anew at any time."""
    place = Place(site.names, site.account, site.region)
    network = Network(site)
    worker_group = SecurityGroupPart(site, network, site.names.worker, "worker")
    web_group = SecurityGroupPart(site, network, site.names.web, "web", site.options.web_cidr)
    return [
        *queue_parts(site),
        RolePart(site, site.worker_role, "worker", worker_statements(place)),
        RolePart(site, site.web_role, "web", web_statements(place)),
        worker_group,
        web_group,
        install_part(site, artifacts),
        TemplatePart(
            site,
            site.names.worker,
            "worker",
            lambda: _facts(site, artifacts, worker_group, "worker", site.worker_role),
        ),
        TemplatePart(
            site,
            site.names.web,
            "web",
            lambda: _facts(site, artifacts, web_group, "web", site.web_role),
        ),
    ]


def user_data(site: ProvisioningContext, artifacts: Artifacts, role: MachineRole) -> str:
    """The script of one role."""
    options = site.options
    return UserData(
        role=role,
        deployment=site.names.deployment,
        region=site.region,
        bucket=site.outputs_bucket,
        wheel_key=artifacts.wheel.key,
        wheel_sha256=artifacts.wheel.sha256,
        bundle_key=artifacts.bundle.key,
        bundle_sha256=artifacts.bundle.sha256,
        max_life_min=options.web_life_min if role == "web" else options.max_life_min,
        web_open="yes" if role == "web" and options.web_cidr else "",
    ).render()


def _facts(
    site: ProvisioningContext,
    artifacts: Artifacts,
    group: SecurityGroupPart,
    role: MachineRole,
    profile: str,
) -> TemplateFacts:
    return TemplateFacts(
        image_id=site.options.image_id or NEWEST_IMAGE,
        profile=profile,
        group_id=group.group_id(),
        kind=site.options.web_kind if role == "web" else site.options.kinds[0],
        user_data=user_data(site, artifacts, role),
    )


def _outputs_bucket(site: ProvisioningContext) -> BucketPart:
    expiring = (OUTCOMES_PREFIX, RECORDS_PREFIX, WEB_PREFIX)
    return BucketPart(site, site.outputs_bucket, "output-store", expiring)
