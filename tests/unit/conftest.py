"""Fixtures of the unit tests."""

import pytest

from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend(clock: Clock) -> FlakyBackend:
    return FlakyBackend(clock)
