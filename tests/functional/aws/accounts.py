"""List all resources of an emulated account."""

from iraas.backends.aws.session import AwsSession


def account(session: AwsSession) -> dict[str, list[str]]:
    """All resources of the account, by kind and name."""
    ec2, iam = session.client("ec2"), session.client("iam")
    reservations = ec2.describe_instances()["Reservations"]
    instances = [one for each in reservations for one in each["Instances"]]
    return {
        "buckets": [one["Name"] for one in session.s3.list_buckets()["Buckets"]],
        "queues": session.sqs.list_queues().get("QueueUrls", []),
        "roles": [
            one["RoleName"]
            for one in iam.list_roles()["Roles"]
            if not one["Path"].startswith("/aws-service-role/")  # these belong to AWS
        ],
        "profiles": [
            one["InstanceProfileName"] for one in iam.list_instance_profiles()["InstanceProfiles"]
        ],
        "groups": [
            one["GroupName"]
            for one in ec2.describe_security_groups()["SecurityGroups"]
            if one["GroupName"] != "default"
        ],
        "templates": [
            one["LaunchTemplateName"] for one in ec2.describe_launch_templates()["LaunchTemplates"]
        ],
        "instances": [
            one["InstanceId"] for one in instances if one["State"]["Name"] != "terminated"
        ],
        "images": [one["ImageId"] for one in ec2.describe_images(Owners=["self"])["Images"]],
        "volumes": [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]],
        "snapshots": [
            one["SnapshotId"]
            for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
            if one.get("Tags")  # the emulator has some itself
        ],
    }


def nothing(found: dict[str, list[str]]) -> bool:
    return not any(found.values())
