"""What a deployment's resources on AWS are called. Everything derives from the deployment's name.

::

    queues    iraas-<deployment>-requests, …-dead-letters, …-reply-<requester>
    buckets   iraas-<deployment>-<account>-<region>-inputs, …-outputs
    objects   inputs: images/…           outputs: outcomes/…, records/…, install/…, web/…
    IAM       iraas-<deployment>-<region>-worker, …-web      (IAM is global: the region tells apart)
    EC2       iraas-<deployment>-worker, …-web               (launch templates, security groups)
    tags      iraas:deployment=<deployment>, iraas:role=<what it is for>

No name is ambiguous: a deployment's name has no inner part ``reply``, so that no other deployment's
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
"""What no worker may read: the web tier's token."""

MAX_DEPLOYMENT_CHARACTERS = 20
"""A bucket's name has at most 63 characters: twelve are the account's, up to fifteen the region's
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html)."""

MAX_QUEUE_NAME_CHARACTERS = 80
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html"""

_REPLY_PART = re.compile(r"-reply(-|$)")
_DIGEST_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one deployment's resources. Pure.

    Attributes:
        deployment: A plain name of at most `MAX_DEPLOYMENT_CHARACTERS` characters.

    Raises:
        UsageError: The deployment's name cannot be used on AWS.
    """

    deployment: str

    def __post_init__(self) -> None:
        name = self.deployment
        if not is_plain_name(name):
            why = "it must be lower-case letters, digits and inner hyphens"
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
        """What all names but the tags begin with. Other deployments' names may begin so, too."""
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
        """What the names of the response queues begin with, and no other queue's name does."""
        return f"{self.stem}-reply-"

    def reply(self, requester_id: str) -> str:
        """A requester's response queue. An id too long for a queue's name is cut and hashed.

        Raises:
            ValueError: The id is not a plain name.
        """
        if not is_plain_name(requester_id):
            raise ValueError(f"{requester_id[:80]!r} is not a requester's id")
        room = MAX_QUEUE_NAME_CHARACTERS - len(self.reply_prefix)
        if len(requester_id) > room:
            digest = hashlib.sha256(requester_id.encode()).hexdigest()[:_DIGEST_CHARACTERS]
            # The underscore is in no plain name: a cut id is never another requester's id.
            requester_id = f"{requester_id[: room - _DIGEST_CHARACTERS - 1]}_{digest}"
        return self.reply_prefix + requester_id

    def owns_queue(self, queue_name: str) -> bool:
        """Tell whether a queue is one of this deployment's, by its name."""
        return queue_name in (self.requests, self.dead_letters) or queue_name.startswith(
            self.reply_prefix
        )

    def inputs_bucket(self, account: str, region: str) -> str:
        """The bucket of the input store. The account makes the name unique in the world."""
        return f"{self.stem}-{account}-{region}-inputs"

    def outputs_bucket(self, account: str, region: str) -> str:
        """The bucket of the output store; records and the install files lie in it, too."""
        return f"{self.stem}-{account}-{region}-outputs"

    def worker_role(self, region: str) -> str:
        """The role and the instance profile of the workers."""
        return f"{self.stem}-{region}-worker"

    def web_role(self, region: str) -> str:
        """The role and the instance profile of the web tier."""
        return f"{self.stem}-{region}-web"

    @property
    def worker(self) -> str:
        """The launch template and the security group of the workers."""
        return f"{self.stem}-worker"

    @property
    def web(self) -> str:
        """The launch template and the security group of the web tier."""
        return f"{self.stem}-web"

    def tags(self, role: str) -> dict[str, str]:
        """The tags of a resource; `role` says what it is for, such as ``worker``."""
        return {DEPLOYMENT_TAG: self.deployment, ROLE_TAG: role}
