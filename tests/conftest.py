"""Fixtures of several parts: a model bundle, example photographs, an emulated AWS."""

import csv
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
import pytest
from hypothesis import settings

from iraas.models.zoo import DEFAULT_MODEL, ensure_bundle
from tests.functional.aws.moto_server import MotoServer, moto_server

# The same examples in every run, and no deadline on a machine that others use too.
settings.register_profile("iraas", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("iraas")

# A shell's background job inherits that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)


ENDPOINT_VARIABLE = "IRAAS_TEST_AWS_ENDPOINT"
MOST_REAL_S = 30.0
"""No test waits longer than this for an emulator that has the real clock."""
EXAMPLES = Path(__file__).parents[1] / "examples" / "images"


@pytest.fixture(scope="session")
def bundle_path() -> Path:
    """The default model's bundle, made once per machine in the cache that users have too."""
    cache = os.environ.get("IRAAS_CACHE")
    cache_dir = Path(cache) if cache else Path(platformdirs.user_cache_dir("iraas")) / "bundles"
    return ensure_bundle(DEFAULT_MODEL, cache_dir)


@pytest.fixture(scope="session")
def photos() -> list[tuple[Path, str, int]]:
    """The example photographs: path, label, ImageNet index."""
    with (EXAMPLES / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [(EXAMPLES / row["file"], row["label"], int(row["imagenet_index"])) for row in rows]


@pytest.fixture(scope="session")
def moto() -> Iterator[MotoServer]:
    """An emulated AWS account, one for each test process."""
    with moto_server() as server:
        yield server


@pytest.fixture(scope="session")
def aws_endpoint(request: pytest.FixtureRequest) -> str:
    """The emulator that the environment names, or ours."""
    given = os.environ.get(ENDPOINT_VARIABLE)
    return given or str(request.getfixturevalue("moto").url)


@pytest.fixture(scope="session")
def pass_emulated_time(request: pytest.FixtureRequest) -> Callable[[float], None]:
    """Move the clock of that emulator; one named by the environment has the real clock."""
    if os.environ.get(ENDPOINT_VARIABLE):
        return lambda seconds: time.sleep(seconds) if seconds < MOST_REAL_S else None
    moto: MotoServer = request.getfixturevalue("moto")
    return moto.advance
