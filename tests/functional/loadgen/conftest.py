"""The deployments that the command line's tests drive, for the generator's command too."""

from tests.functional.cli.conftest import deployment, photo

__all__ = ["deployment", "photo"]
