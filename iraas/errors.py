"""Every error that iraas raises on purpose, in one tree.

::

    IraasError                      exit code
    ├── UsageError                  2   the command was given something it cannot use
    ├── ConfigurationError          4   a setting is missing or wrong
    │   ├── NotProvisionedError         the deployment has no resources yet
    │   ├── MissingExtraError           a package of an optional extra is not installed
    │   ├── CredentialsError            the backend does not know who asks
    │   ├── PermissionDeniedError       the backend knows, and says no
    │   └── QuotaError                  an account limit is in the way
    ├── SavingError                 1   a file of results could not be written
    ├── BackendError                1   a queue, a store or the fleet failed
    │   ├── BackendUnavailableError     for now: the same call may succeed later
    │   │   └── StorageFullError        no more images are stored: the disk, or the quota, is full
    │   ├── ObjectNotFoundError         the store has nothing under that key
    │   ├── QueueNotFoundError          the queue does not exist (any more)
    │   └── MessageTooLargeError        a body is over the queue's limit
    ├── MessageError                1   a message body cannot be read
    │   └── UnknownVersionError         it was written by another version
    ├── ImageError                  -   an image cannot be classified: becomes its failure outcome
    │   ├── NotAnImageError             the bytes are of no format that we read
    │   ├── BrokenImageError            the format is right, the content is not
    │   ├── ImageTooLargeError          over the limit of bytes, pixels or memory
    │   ├── ImageTooSlowError           decoding it took more CPU time than it may
    │   └── DecoderCrashError           it ended the process that decoded it, each time it was tried
    ├── ProcessDiedError            1   a child process ended that should have answered
    ├── BundleError                 1   a model bundle is missing, mangled or not the one promised
    ├── JobNotFoundError            1   no job of that id in this deployment
    └── WaitTimeoutError            5   the bound on a wait was reached

``str(error)`` is one or two sentences for a person: what failed, and why. ``error.remedy`` says
what to do next, or is empty. Errors of an SDK or of the standard library are translated to these
once, where the backend or the decoder is called, with ``raise … from exc``.
"""


def how_to_install(extra: str) -> str:
    """The remedy for packages that are missing: the way README installs iraas, from its source."""
    return f"In the folder of iraas's source: pip install '.[{extra}]'"


class IraasError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        remedy: What the person can do next; empty when there is nothing to say.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class UsageError(IraasError):
    """The command was given something it cannot use."""


class ConfigurationError(IraasError):
    """A setting is missing or wrong."""


class NotProvisionedError(ConfigurationError):
    """The deployment has no resources yet."""


class MissingExtraError(ConfigurationError):
    """A package of an optional extra is not installed."""


class CredentialsError(ConfigurationError):
    """The backend does not know who asks."""


class PermissionDeniedError(ConfigurationError):
    """The backend knows who asks, and says no."""


class QuotaError(ConfigurationError):
    """An account limit is in the way."""


class SavingError(IraasError):
    """A file of results could not be written."""


class BackendError(IraasError):
    """A queue, a store or the fleet failed."""


class BackendUnavailableError(BackendError):
    """The backend failed for now: the same call may succeed later."""


class StorageFullError(BackendUnavailableError):
    """No more images are stored: the disk has too little free space, or the quota is used up."""


class ObjectNotFoundError(BackendError):
    """The store has nothing under that key."""


class QueueNotFoundError(BackendError):
    """The queue does not exist, or no longer."""


class MessageTooLargeError(BackendError):
    """A message body is over the queue's limit."""


class MessageError(IraasError):
    """A message body cannot be read."""


class UnknownVersionError(MessageError):
    """A message was written by a version that this one does not know."""


class ImageError(IraasError):
    """An image cannot be classified; the text is the reason in its failure outcome."""


class NotAnImageError(ImageError):
    """The bytes are of no format that we read."""


class BrokenImageError(ImageError):
    """The format is right, the content is not."""


class ImageTooLargeError(ImageError):
    """The image is over the limit of bytes or of pixels."""


class ImageTooSlowError(ImageError):
    """Decoding the image took more CPU time than one image may take."""


class DecoderCrashError(ImageError):
    """The image ended the process that decoded it, each time it was tried."""


class ProcessDiedError(IraasError):
    """A child process ended that should have answered.

    Attributes:
        status: Its exit status, negative for the signal that ended it.
        timed_out: Whether it was ended because it did not answer in time.
    """

    def __init__(self, status: int, *, timed_out: bool = False) -> None:
        reason = "did not answer in time" if timed_out else f"ended with status {status}"
        super().__init__(f"a child process {reason}")
        self.status = status
        self.timed_out = timed_out


class BundleError(IraasError):
    """A model bundle is missing, mangled, or not the one that was promised."""


class JobNotFoundError(IraasError):
    """No job of that id exists in this deployment."""


class WaitTimeoutError(IraasError):
    """The bound on a wait was reached."""
