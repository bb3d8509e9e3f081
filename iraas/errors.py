"""The exception hierarchy of iraas.

::

    IraasError                      exit code
    ├── UsageError                  2   an argument or input of the command is invalid
    ├── ConfigurationError          4   a setting is missing or wrong
    │   ├── NotProvisionedError         the deployment has no resources yet
    │   ├── MissingExtraError           a package of an optional extra is not installed
    │   ├── CredentialsError            credentials are missing, invalid or expired
    │   ├── PermissionDeniedError       the credentials lack a permission
    │   └── QuotaError                  an account limit is reached
    ├── SavingError                 1   a results file could not be written
    ├── BackendError                1   a queue, a store or the fleet failed
    │   ├── BackendUnavailableError     temporarily: the same call may succeed later
    │   │   └── StorageFullError        the disk or the quota has no space for more images
    │   ├── ObjectNotFoundError         the store has no object under that key
    │   ├── QueueNotFoundError          the queue does not exist, or was deleted
    │   └── MessageTooLargeError        a body exceeds the queue's limit
    ├── MessageError                1   a message or a record is malformed
    │   └── UnknownVersionError         it was written by an incompatible version
    ├── ImageError                  -   an image cannot be classified: becomes its failure outcome
    │   ├── NotAnImageError             the bytes are in no supported format
    │   ├── BrokenImageError            the format is supported, the content is corrupt
    │   ├── ImageTooLargeError          over the limit of bytes, pixels or memory
    │   ├── ImageTooSlowError           decoding exceeded the CPU time limit
    │   └── DecoderCrashError           each attempt to decode it crashed the process
    ├── ProcessDiedError            1   a child process ended before it answered
    ├── BundleError                 1   a model bundle is missing, corrupt or not the expected one
    ├── JobNotFoundError            1   the deployment has no job of that id
    └── WaitTimeoutError            5   a timeout expired

``str(error)`` says in one or two sentences what failed, and why. ``error.remedy`` says what to do
next, or is empty. Errors of an SDK or of the standard library are translated to these once, where
the backend or the decoder is called, with ``raise … from exc``.
"""


def how_to_install(extra: str) -> str:
    """Build the remedy for missing packages: install an extra from source, as README does."""
    return f"In the folder of iraas's source: pip install '.[{extra}]'"


class IraasError(Exception):
    """Base class of all errors of iraas.

    Attributes:
        remedy: What the user can do next; empty if unknown.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class UsageError(IraasError):
    """An argument or input of the command is invalid."""


class ConfigurationError(IraasError):
    """A setting is missing or wrong."""


class NotProvisionedError(ConfigurationError):
    """The deployment has no resources yet."""


class MissingExtraError(ConfigurationError):
    """A package of an optional extra is not installed."""


class CredentialsError(ConfigurationError):
    """Credentials are missing, invalid or expired."""


class PermissionDeniedError(ConfigurationError):
    """The credentials lack a permission."""


class QuotaError(ConfigurationError):
    """An account limit is reached."""


class SavingError(IraasError):
    """A results file could not be written."""


class BackendError(IraasError):
    """A queue, a store or the fleet failed."""


class BackendUnavailableError(BackendError):
    """The backend failed temporarily: the same call may succeed later."""


class StorageFullError(BackendUnavailableError):
    """The disk or the quota has no space for more images."""


class ObjectNotFoundError(BackendError):
    """The store has no object under that key."""


class QueueNotFoundError(BackendError):
    """The queue does not exist, or was deleted."""


class MessageTooLargeError(BackendError):
    """A message body exceeds the queue's limit."""


class MessageError(IraasError):
    """A message or a record is malformed."""


class UnknownVersionError(MessageError):
    """A message was written by an incompatible version."""


class ImageError(IraasError):
    """An image cannot be classified; the text is the reason in its failure outcome."""


class NotAnImageError(ImageError):
    """The bytes are in no supported format."""


class BrokenImageError(ImageError):
    """The format is supported, the content is corrupt."""


class ImageTooLargeError(ImageError):
    """The image exceeds the limit of bytes, pixels or memory."""


class ImageTooSlowError(ImageError):
    """Decoding the image exceeded the CPU time limit."""


class DecoderCrashError(ImageError):
    """Each attempt to decode the image crashed the decoding process."""


class ProcessDiedError(IraasError):
    """A child process ended before it answered.

    Attributes:
        status: Its exit status; the negated signal number if a signal ended it.
        timed_out: Whether it was killed because it did not answer in time.
    """

    def __init__(self, status: int, *, timed_out: bool = False) -> None:
        reason = "did not answer in time" if timed_out else f"ended with status {status}"
        super().__init__(f"a child process {reason}")
        self.status = status
        self.timed_out = timed_out


class BundleError(IraasError):
    """A model bundle is missing, corrupt, or not the expected one."""


class JobNotFoundError(IraasError):
    """The deployment has no job of that id."""


class WaitTimeoutError(IraasError):
    """A timeout expired."""
