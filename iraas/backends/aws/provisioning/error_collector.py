"""Going on after a failure, and telling all of them at the end."""

from collections.abc import Callable
from typing import TypeVar

from iraas.errors import BackendError, IraasError

Result = TypeVar("Result")


class ErrorCollector:
    """What failed in a row of steps that do not need each other."""

    def __init__(self, report: Callable[[str], None]) -> None:
        """Say who is told of each at once."""
        self._report = report
        self._errors: list[IraasError] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    def attempt(self, step: Callable[[], Result], default: Result) -> Result:
        """Take a step; if it fails, note the error and give the default."""
        try:
            return step()
        except IraasError as exc:
            self._report(f"{exc}; going on with the rest")
            self._errors.append(exc)
            return default

    def raise_all(self) -> None:
        """Raise what was noted, if anything.

        Raises:
            IraasError: The only one.
            BackendError: All of them in one, if there are several.
        """
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise BackendError(
                f"{len(self._errors)} steps failed: " + "; ".join(map(str, self._errors)),
                remedy="Run the command again: it goes on where this one stopped. "
                + self._errors[0].remedy,
            ) from self._errors[0]
