"""The storage limits of the web tier, by its settings."""

from pathlib import Path

import pytest

from iraas.cli.web_server import load_web_tier
from iraas.client.storage_guard import StorageLimits
from iraas.core.resolver import resolve
from iraas.web.config import DEFAULT_QUOTA_BYTES

PLACES = {"home": Path("/nowhere"), "cache": Path("/nowhere")}


@pytest.mark.parametrize(
    ("flags", "limits"),
    [
        ({}, StorageLimits(max_stored_bytes=DEFAULT_QUOTA_BYTES)),
        ({"max_stored_bytes": "0"}, StorageLimits(max_stored_bytes=0)),
        (
            {"max_stored_bytes": "5_000", "min_free_bytes": "7"},
            StorageLimits(min_free_bytes=7, max_stored_bytes=5000),
        ),
    ],
)
def test_the_web_tier_has_a_quota_unless_it_is_set_otherwise(
    flags: dict[str, object], limits: StorageLimits
) -> None:
    settings = resolve(flags=flags, environment={}, defaults=PLACES).settings
    serve = load_web_tier(settings)
    assert serve.keywords["limits"].storage == limits  # type: ignore[attr-defined]
