"""Classifying an image sends no report, and leaves nothing in the user's folders."""

import os
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE_S

PROGRAM = """
import sys
from pathlib import Path
from iraas.models.loading import load_classifier
classifier = load_classifier(Path(sys.argv[1]))
print(classifier.infer([classifier.prepare(Path(sys.argv[2]).read_bytes())])[0].label)
"""


def test_onnxruntime_keeps_no_device_id_and_no_telemetry_in_the_home_folder(
    tmp_path: Path, bundle_path: Path, photos: list[tuple[Path, str, int]]
) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "ORT_")) and name not in {"CI", "GITHUB_ACTIONS"}
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(bundle_path), str(photos[0][0])],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout.strip() == photos[0][1]
    assert [one.name for one in tmp_path.rglob("*")] == []
