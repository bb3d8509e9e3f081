"""Collection of errors from independent steps."""

from collections.abc import Callable
from typing import TypeVar

from iraas.errors import BackendError, IraasError

Result = TypeVar("Result")


class ErrorCollector:
    """Runs independent steps and collects their errors."""

    def __init__(self, report: Callable[[str], None]) -> None:
        """Create an empty collector.

        Args:
            report: Called with each error immediately.
        """
        self._report = report
        self._errors: list[IraasError] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    def attempt(self, step: Callable[[], Result], default: Result) -> Result:
        """Run a step; on an error, record it and return the default.

        Args:
            step: The step.
            default: Result of a failed step.
        """
        try:
            return step()
        except IraasError as exc:
            self._report(f"{exc}; continuing with the remaining steps")
            self._errors.append(exc)
            return default

    def raise_all(self) -> None:
        """Raise the recorded errors, if any.

        Raises:
            IraasError: The error, if there is exactly one.
            BackendError: All errors combined, if there are several.
        """
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise BackendError(
                f"{len(self._errors)} steps failed: " + "; ".join(map(str, self._errors)),
                remedy="Run the command again: it continues where this one stopped. "
                + self._errors[0].remedy,
            ) from self._errors[0]
