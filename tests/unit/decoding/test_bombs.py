"""Two hundred bombs: each ends in an image or a reason, within generous limits of the system."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import bomb_files
import pytest

FORMATS = ("jpeg", "png", "gif", "webp", "bmp", "tiff")
BENCHMARKS = Path(bomb_files.__file__).parent
HANG_S = 280

# RLIMIT_AS holds what the libraries map, too; the limit only tells a bomb from an image.
CHILD = """
    import json, resource, sys
    import bomb_files
    from iraas.models.bundle import Preprocessing
    from iraas.models.preprocessing import prepare_pixels
    from iraas.errors import ImageError
    from iraas.web.thumbnails.process import make_thumbnail

    resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (250, 250))
    for bomb in bomb_files.bombs(sys.argv[1]):
        try:
            pixels = prepare_pixels(bomb.data, Preprocessing(32, 0, "bicubic"))
            outcome = pixels.shape == (32, 32, 3)
        except ImageError as error:
            outcome = str(error)
        thumbnail = make_thumbnail(bomb.data)
        print(json.dumps([bomb.name, outcome, thumbnail[:2].hex()]), flush=True)
"""


def test_there_are_two_hundred_bombs_with_names_of_their_own() -> None:
    names = [bomb.name for bomb in bomb_files.bombs()]

    assert len(set(names)) == len(names) == bomb_files.COUNT


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_bomb_ends_in_an_image_or_a_reason(image_format: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), image_format],
        cwd=BENCHMARKS,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=HANG_S,
    )

    assert done.returncode == 0
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) > 20
    for name, outcome, thumbnail in outcomes:
        assert outcome is True or (isinstance(outcome, str) and outcome), name
        assert thumbnail in {"", "ffd8"}, name
    assert any(isinstance(outcome, str) for _, outcome, _ in outcomes)
