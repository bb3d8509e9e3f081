"""The process that makes thumbnails, without a web server around it."""

import json
import os
from contextlib import closing
from io import BytesIO

import pytest
from PIL import Image

from iraas.sandbox.commands import module_command
from iraas.sandbox.environment import decoder_environment
from iraas.sandbox.process import ConfinedProcess

SIDE = 2000


@pytest.mark.parametrize(("image_cpu_s", "is_made"), [(0.02, False), (5.0, True)])
def test_the_budget_of_an_image_is_that_of_its_thumbnail(
    image_cpu_s: float, *, is_made: bool
) -> None:
    """Over the budget it is refused by its estimate: the process is not ended for it."""
    costly = BytesIO()
    Image.effect_noise((SIDE, SIDE), 60).save(costly, "JPEG", progressive=True)
    order = {"max_pixels": SIDE**2, "image_cpu_s": image_cpu_s, "headroom_bytes": 300_000_000}
    command = module_command("iraas.web.thumbnails.process")
    with closing(ConfinedProcess(command, decoder_environment(os.environ))) as process:
        process.ask(json.dumps(order).encode())
        assert process.ask(costly.getvalue()).startswith(b"\xff\xd8") == is_made
