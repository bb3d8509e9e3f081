"""The resources of a deployment, in order of creation."""

from iraas.backends.aws.fleet.user_data import MachineRole, UserData
from iraas.backends.aws.iam.role_permissions import (
    IMAGE_PARAMETER,
    web_statements,
    worker_statements,
)
from iraas.backends.aws.names import IMAGES_PREFIX, OUTCOMES_PREFIX, RECORDS_PREFIX, WEB_PREFIX
from iraas.backends.aws.provisioning.bucket import BucketResource
from iraas.backends.aws.provisioning.install_files import Artifacts, InstallFilesResource
from iraas.backends.aws.provisioning.launch_templates import (
    LaunchTemplateResource,
    LaunchTemplateSpec,
)
from iraas.backends.aws.provisioning.network import Network
from iraas.backends.aws.provisioning.queues import queue_resources
from iraas.backends.aws.provisioning.resource import ManagedResource, ProvisioningContext
from iraas.backends.aws.provisioning.roles import RoleResource
from iraas.backends.aws.provisioning.security_groups import SecurityGroupResource

LATEST_IMAGE = f"resolve:ssm:{IMAGE_PARAMETER}"
"""EC2 resolves it at each launch, so that new instances have the latest patches."""


def data_resources(context: ProvisioningContext) -> list[ManagedResource]:
    """The buckets."""
    return [
        BucketResource(context, context.inputs_bucket, "input-store", (IMAGES_PREFIX,)),
        _outputs_bucket(context),
    ]


def install_files_resource(
    context: ProvisioningContext, artifacts: Artifacts
) -> InstallFilesResource:
    """The install files."""
    return InstallFilesResource(context, artifacts, _outputs_bucket(context))


def other_resources(context: ProvisioningContext, artifacts: Artifacts) -> list[ManagedResource]:
    """All resources but the buckets; they can be recreated at any time."""
    arns = context.arns
    network = Network(context)
    worker_group = SecurityGroupResource(context, network, context.names.worker, "worker")
    web_group = SecurityGroupResource(
        context, network, context.names.web, "web", context.config.web_cidr
    )
    return [
        *queue_resources(context),
        RoleResource(context, context.worker_role, "worker", worker_statements(arns)),
        RoleResource(context, context.web_role, "web", web_statements(arns)),
        worker_group,
        web_group,
        install_files_resource(context, artifacts),
        LaunchTemplateResource(
            context,
            context.names.worker,
            "worker",
            lambda: _template_spec(context, artifacts, worker_group, "worker", context.worker_role),
        ),
        LaunchTemplateResource(
            context,
            context.names.web,
            "web",
            lambda: _template_spec(context, artifacts, web_group, "web", context.web_role),
        ),
    ]


def user_data(context: ProvisioningContext, artifacts: Artifacts, role: MachineRole) -> str:
    """The startup script of one role."""
    config = context.config
    return UserData(
        role=role,
        deployment=context.names.deployment,
        region=context.region,
        bucket=context.outputs_bucket,
        wheel_key=artifacts.wheel.key,
        wheel_sha256=artifacts.wheel.sha256,
        bundle_key=artifacts.bundle.key,
        bundle_sha256=artifacts.bundle.sha256,
        max_life_min=config.web_life_min if role == "web" else config.max_life_min,
        web_open="yes" if role == "web" and config.web_cidr else "",
    ).render()


def _template_spec(
    context: ProvisioningContext,
    artifacts: Artifacts,
    group: SecurityGroupResource,
    role: MachineRole,
    profile: str,
) -> LaunchTemplateSpec:
    return LaunchTemplateSpec(
        image_id=context.config.image_id or LATEST_IMAGE,
        profile=profile,
        group_id=group.group_id(),
        instance_type=context.config.web_instance_type
        if role == "web"
        else context.config.instance_types[0],
        user_data=user_data(context, artifacts, role),
    )


def _outputs_bucket(context: ProvisioningContext) -> BucketResource:
    expiring = (OUTCOMES_PREFIX, RECORDS_PREFIX, WEB_PREFIX)
    return BucketResource(context, context.outputs_bucket, "output-store", expiring)
