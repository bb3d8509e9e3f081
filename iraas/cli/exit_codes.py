"""The exit codes, and how an error is printed."""

import sys
from enum import IntEnum

from iraas.core.control_chars import escape_control_chars
from iraas.errors import ConfigurationError, IraasError, UsageError, WaitTimeoutError


class ExitCode(IntEnum):
    """The exit codes of ``iraas``."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    SOME_FAILED = 3
    CONFIGURATION = 4
    TIMED_OUT = 5
    UNANSWERED = 6
    INTERRUPTED = 130


_CODES = (
    (UsageError, ExitCode.USAGE),
    (ConfigurationError, ExitCode.CONFIGURATION),
    (WaitTimeoutError, ExitCode.TIMED_OUT),
)


def exit_code(error: IraasError) -> ExitCode:
    """The exit code of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILURE)


def print_error(error: IraasError) -> None:
    """Print what failed, why, and how to fix it, on stderr."""
    text = escape_control_chars(str(error))
    sys.stderr.write(f"iraas: {text}{'' if text.endswith('.') else '.'}\n")
    if error.remedy:
        sys.stderr.write(f"       {escape_control_chars(error.remedy)}\n")
