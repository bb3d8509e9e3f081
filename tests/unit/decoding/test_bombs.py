"""Two hundred bombs: each ends in an image or a reason, within generous limits of the system."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import bomb_files

FORMATS = ("jpeg", "png", "gif", "webp", "bmp", "tiff")
BENCHMARKS = Path(bomb_files.__file__).parent
HANG_S = 280

# RLIMIT_AS includes the libraries' mappings; the limit only distinguishes a bomb from an image.
CHILD = """
    import json, resource, sys
    import bomb_files
    from iraas.models.bundle import Preprocessing
    from iraas.models.preprocessing import prepare_pixels
    from iraas.errors import ImageError
    from iraas.web.thumbnails.process import make_thumbnail

    resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (250, 250))
    decoded = 0
    for bomb in bomb_files.bombs(sys.argv[1]):
        try:
            pixels = prepare_pixels(bomb.data, Preprocessing(32, 0, "bicubic"))
            outcome = pixels.shape == (32, 32, 3)
            decoded += 1
        except ImageError as error:
            outcome = str(error)
        # A thumbnail decodes in the same way: one image is enough, and all that are refused.
        thumbnail = None if outcome is True and decoded > 1 else make_thumbnail(bomb.data)[:2].hex()
        print(json.dumps([bomb.name, outcome, thumbnail]), flush=True)
"""


def try_bombs(image_format: str) -> list[tuple[str, bool | str, str | None]]:
    """The name of each bomb of a format, how decoding it ended, and how a thumbnail begins."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), image_format],
        cwd=BENCHMARKS,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=HANG_S,
    )

    assert done.returncode == 0
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_every_bomb_ends_in_an_image_or_a_reason() -> None:
    names: set[str] = set()
    for image_format in FORMATS:
        outcomes = try_bombs(image_format)
        assert len(outcomes) > 20
        for name, outcome, thumbnail in outcomes:
            assert outcome is True or (isinstance(outcome, str) and outcome), name
            assert thumbnail in ({"ffd8", None} if outcome is True else {"", "ffd8"}), name
        assert any(isinstance(outcome, str) for _, outcome, _ in outcomes)
        names.update(name for name, *_ in outcomes)
    assert len(names) == bomb_files.COUNT
