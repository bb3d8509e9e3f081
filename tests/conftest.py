"""What tests of several parts share: the model's bundle and the example photographs."""

import csv
import os
import signal
from pathlib import Path

import platformdirs
import pytest
from hypothesis import settings

from iraas.models.zoo import DEFAULT_MODEL, ensure_bundle

# The same examples in every run, and no deadline on a machine that others use too.
settings.register_profile("iraas", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("iraas")

# Whoever runs this in the background of a shell hands down that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
