"""Names and tags of a deployment's AWS resources, all derived from the deployment's name.

::

    queues    iraas-<deployment>-requests, …-dead-letters, …-reply-<requester>
    buckets   iraas-<deployment>-<account>-<region>-inputs, …-outputs
    objects   inputs: images/…           outputs: outcomes/…, records/…, install/…, web/…
    IAM       iraas-<deployment>-<region>-worker, …-web      (IAM is global, hence the region)
    EC2       iraas-<deployment>-worker, …-web               (launch templates, security groups)
    tags      iraas:deployment=<deployment>, iraas:role=<purpose>

Names are unambiguous: a deployment's name contains no part ``reply``, so that no other deployment's
queue looks like one of its response queues.
"""

import hashlib
import re
from dataclasses import dataclass

from iraas.core.ids import is_plain_name
from iraas.errors import UsageError

DEPLOYMENT_TAG = "iraas:deployment"
ROLE_TAG = "iraas:role"

IMAGES_PREFIX = "images/"
OUTCOMES_PREFIX = "outcomes/"
RECORDS_PREFIX = "records/"
INSTALL_PREFIX = "install/"
WEB_PREFIX = "web/"
"""Not readable by workers: holds the web tier's token."""

MAX_DEPLOYMENT_CHARACTERS = 20
"""A bucket's name has at most 63 characters: twelve are the account's, up to fifteen the region's
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html)."""

MAX_QUEUE_NAME_CHARACTERS = 80
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html"""

_REPLY_PART = re.compile(r"-reply(-|$)")
_DIGEST_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Names:
    """Resource names of one deployment.

    Attributes:
        deployment: A plain name of at most `MAX_DEPLOYMENT_CHARACTERS` characters.

    Raises:
        UsageError: The deployment's name cannot be used on AWS.
    """

    deployment: str

    def __post_init__(self) -> None:
        name = self.deployment
        if not is_plain_name(name):
            why = "it must consist of lower-case letters, digits and inner hyphens"
        elif len(name) > MAX_DEPLOYMENT_CHARACTERS:
            why = f"it has {len(name)} characters; bucket names leave {MAX_DEPLOYMENT_CHARACTERS}"
        elif _REPLY_PART.search(name):
            why = "its part 'reply' would make it look like another deployment's response queue"
        else:
            return
        raise UsageError(
            f"the deployment's name {name[:80]!r} cannot be used on AWS: {why}",
            remedy="Choose another name with --deployment or IRAAS_DEPLOYMENT.",
        )

    @property
    def stem(self) -> str:
        """Common prefix of all names except the tags. Not unique: others may extend it."""
        return f"iraas-{self.deployment}"

    @property
    def requests(self) -> str:
        """The request queue."""
        return f"{self.stem}-requests"

    @property
    def dead_letters(self) -> str:
        """The dead-letter queue."""
        return f"{self.stem}-dead-letters"

    @property
    def reply_prefix(self) -> str:
        """Prefix of the response queues' names, and of no other queue's."""
        return f"{self.stem}-reply-"

    def reply(self, requester_id: str) -> str:
        """Name of a requester's response queue. An id that is too long is truncated and hashed.

        Raises:
            ValueError: The id is not a plain name.
        """
        if not is_plain_name(requester_id):
            raise ValueError(f"{requester_id[:80]!r} is not a requester's id")
        max_characters = MAX_QUEUE_NAME_CHARACTERS - len(self.reply_prefix)
        if len(requester_id) > max_characters:
            digest = hashlib.sha256(requester_id.encode()).hexdigest()[:_DIGEST_CHARACTERS]
            # No plain name contains an underscore, so a truncated id never equals another id.
            requester_id = f"{requester_id[: max_characters - _DIGEST_CHARACTERS - 1]}_{digest}"
        return self.reply_prefix + requester_id

    def owns_queue(self, queue_name: str) -> bool:
        """Return whether a queue belongs to this deployment, by its name."""
        return queue_name in (self.requests, self.dead_letters) or queue_name.startswith(
            self.reply_prefix
        )

    def inputs_bucket(self, account: str, region: str) -> str:
        """The input store's bucket. The account makes the name globally unique."""
        return f"{self.stem}-{account}-{region}-inputs"

    def outputs_bucket(self, account: str, region: str) -> str:
        """The bucket of the output store, the records and the install files."""
        return f"{self.stem}-{account}-{region}-outputs"

    def worker_role(self, region: str) -> str:
        """The workers' role and instance profile."""
        return f"{self.stem}-{region}-worker"

    def web_role(self, region: str) -> str:
        """The web tier's role and instance profile."""
        return f"{self.stem}-{region}-web"

    @property
    def worker(self) -> str:
        """The workers' launch template and security group."""
        return f"{self.stem}-worker"

    @property
    def web(self) -> str:
        """The web tier's launch template and security group."""
        return f"{self.stem}-web"

    def tags(self, role: str) -> dict[str, str]:
        """Tags of a resource; `role` is its purpose, such as ``worker``."""
        return {DEPLOYMENT_TAG: self.deployment, ROLE_TAG: role}
