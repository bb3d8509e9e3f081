"""The confined classifier: correct on real images, robust against hostile ones."""

import logging
import os
import signal
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from iraas.core.outcomes import Prediction
from iraas.errors import (
    BrokenImageError,
    BundleError,
    ConfigurationError,
    DecoderCrashError,
    ImageError,
    ImageTooLargeError,
    ImageTooSlowError,
    NotAnImageError,
    ProcessDiedError,
)
from iraas.models.confined_classifier import ConfinedClassifier, ImageLimits
from iraas.models.loading import load_classifier
from iraas.models.onnx_runtime import OnnxClassifier
from iraas.sandbox.process import ConfinedProcess
from tests.functional.sandbox.children import HEAD

Photo = tuple[Path, str, int]
DEFAULTS = ImageLimits()
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


@pytest.fixture(scope="module")
def confined(bundle_path: Path) -> Iterator[ConfinedClassifier]:
    with closing(ConfinedClassifier(bundle_path, ImageLimits())) as classifier:
        yield classifier


@pytest.fixture(scope="module")
def unconfined(bundle_path: Path) -> OnnxClassifier:
    return load_classifier(bundle_path)


def noise(side: int) -> bytes:
    """A progressive JPEG that takes far more than a tenth of a CPU second to decode."""
    pixels = np.random.default_rng(1).integers(0, 255, (side, side, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, progressive=True)
    return file.getvalue()


def test_it_predicts_the_same_as_the_unconfined_classifier(
    confined: ConfinedClassifier, unconfined: OnnxClassifier, photos: Sequence[Photo]
) -> None:
    images = [path.read_bytes() for path, _, _ in photos[:5]]
    assert list(confined.classify(images)) == unconfined.classify(images)
    assert confined.model_id == unconfined.model_id


@pytest.mark.parametrize("image_format", FORMATS)
def test_each_format_can_be_decoded_in_confinement(
    image_format: str,
    confined: ConfinedClassifier,
    unconfined: OnnxClassifier,
    photos: Sequence[Photo],
) -> None:
    file = BytesIO()
    with Image.open(photos[0][0]) as photo:
        photo.save(file, image_format)
    (found,) = confined.classify([file.getvalue()])
    assert isinstance(found, Prediction)
    assert [found] == unconfined.classify([file.getvalue()])


def test_a_file_that_is_not_an_image_does_not_affect_others(
    confined: ConfinedClassifier, photos: Sequence[Photo]
) -> None:
    photo = photos[0][0].read_bytes()
    before, failure, empty, after = confined.classify([photo, b"text", b"", photo])
    assert isinstance(before, Prediction)
    assert before == after
    assert isinstance(failure, NotAnImageError)
    assert isinstance(empty, NotAnImageError)


def test_a_large_image_that_ends_early_leaves_the_memory_to_the_next(
    confined: ConfinedClassifier,
) -> None:
    """Each takes 256 MB, and both together more than the process may have."""
    side = 8000
    head = struct.pack("<2sIII", b"BM", 54 + 4 * side * side, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 32, 0, 0, 0, 0, 0, 0)
    file = BytesIO()
    Image.new("RGB", (side, side)).save(file, "PNG", compress_level=1)
    for _ in range(2):
        broken, good = confined.classify([head + info + bytes(4000), file.getvalue()])
        assert isinstance(broken, BrokenImageError), broken
        assert isinstance(good, Prediction), good


def test_the_budget_of_an_image_is_a_setting(bundle_path: Path) -> None:
    image = noise(2000)
    found: list[Prediction | ImageError] = []
    for image_cpu_s in (0.02, 2.0):
        limits = ImageLimits(image_cpu_s=image_cpu_s)
        with closing(ConfinedClassifier(bundle_path, limits)) as classifier:
            found += classifier.classify([image])
    refused, classified = found
    assert isinstance(refused, ImageTooLargeError)
    assert "CPU time" in str(refused)
    assert isinstance(classified, Prediction)


class Scripted(ConfinedClassifier):
    """Runs a program instead of the confined process; counts how often."""

    def __init__(self, program: str, limits: ImageLimits = DEFAULTS, **options: bool) -> None:
        self.program = program
        self.starts = 0
        super().__init__(Path("/nowhere"), limits, **options)

    def _start(self) -> ConfinedProcess:
        self.starts += 1
        program = HEAD + "next(requests)\n" + self.program
        return ConfinedProcess([sys.executable, "-P", "-c", program], {})


GREET = """answer(b'{"model_id": "m@1"}')\n"""


@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), signal.SIGSEGV)", "os._exit(3)", "answer(b'garbage')"]
)
def test_an_image_that_always_crashes_its_process_is_given_up(end: str) -> None:
    with closing(Scripted(f"{GREET}for request in requests: {end}")) as classifier:
        (failure,) = classifier.classify([b"image"])
        assert isinstance(failure, DecoderCrashError)
        assert "3 times" in str(failure)
        assert classifier.starts == 4


def test_an_image_that_takes_more_cpu_time_than_estimated_fails_at_once_and_says_so() -> None:
    work = """
from iraas.sandbox.limits import cpu_budget
for request in requests:
    with cpu_budget(0.1):
        while request == b"slow": pass
    answer(b'{"top": [["cat", 0.5]]}')
"""
    limits = ImageLimits(image_cpu_s=0.1, max_attempts=3)
    with closing(Scripted(GREET + work, limits)) as classifier:
        before, slow, after = classifier.classify([b"quick", b"slow", b"quick"])
        assert isinstance(slow, ImageTooSlowError)
        assert "0.1 s" in str(slow)
        assert isinstance(before, Prediction)
        assert before == after
        assert classifier.starts == 2, "the process was not ended, or the image was tried again"


def test_a_crashing_image_does_not_affect_others_of_its_batch() -> None:
    """Each is answered in its turn; those after it were already sent to the process that ended."""
    answer = r"""answer(b'{"top": [["' + request + b'", 0.5]]}')"""
    program = f"{GREET}for request in requests: os._exit(3) if request == b'bad' else {answer}"
    with closing(Scripted(program)) as classifier:
        results = list(classifier.classify([b"one", b"bad", b"two", b"bad", b"three"]))
        assert [isinstance(one, DecoderCrashError) for one in results] == [False, True] * 2 + [
            False
        ]
        good = [one for one in results if isinstance(one, Prediction)]
        assert [one.top[0].label for one in good] == ["one", "two", "three"]
        assert classifier.starts == 7


def test_an_image_that_hangs_is_tried_twice_at_most() -> None:
    hang = f"{GREET}for request in requests: threading.Event().wait()"
    with closing(Scripted(hang, limits=ImageLimits(answer_s=0.2))) as classifier:
        (failure,) = classifier.classify([b"image"])
        assert isinstance(failure, ImageTooSlowError)
        assert classifier.starts == 3


def test_a_kill_from_outside_does_not_count_against_the_image(
    confined: ConfinedClassifier, photos: Sequence[Photo]
) -> None:
    photo = photos[0][0].read_bytes()
    before = list(confined.classify([photo]))
    os.kill(confined.pid, signal.SIGKILL)
    assert list(confined.classify([photo])) == before


def test_a_process_that_exits_at_startup_is_an_error_of_its_own() -> None:
    with closing(Scripted("os._exit(3)")) as classifier, pytest.raises(ProcessDiedError):
        classifier.wait_until_ready()


def test_a_bundle_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    with (
        closing(ConfinedClassifier(tmp_path, ImageLimits())) as classifier,
        pytest.raises(BundleError),
    ):
        classifier.wait_until_ready()


def test_without_network_isolation_a_machine_with_credentials_does_not_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    weak = """answer(b'{"model_id": "m@1", "unconfined": "network, processes"}')\nnext(requests)"""
    with closing(Scripted(weak, must_be_confined=True)) as classifier:
        with pytest.raises(ConfigurationError, match="network") as caught:
            classifier.wait_until_ready()
        assert "libseccomp" in caught.value.remedy
    with closing(Scripted(weak)) as classifier, caplog.at_level(logging.WARNING):
        classifier.wait_until_ready()
    assert "network, processes" in caplog.text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of the Linux kernel")
def test_the_real_process_is_confined_and_knows_no_secret(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("IRAAS_TOKEN", "a secret of the web tier")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret of the account")
    with closing(ConfinedClassifier(bundle_path, ImageLimits())) as classifier:
        classifier.wait_until_ready()
        process = psutil.Process(classifier.pid)
        assert not [value for value in process.environ().values() if "secret" in value]
        status = Path(f"/proc/{classifier.pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["NoNewPrivs"] == "1"
        assert fields["Seccomp"] == "2"
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert process.rlimit(psutil.RLIMIT_NOFILE)[1] <= 64
        assert process.rlimit(psutil.RLIMIT_FSIZE)[1] <= 65_536
        assert process.rlimit(psutil.RLIMIT_AS)[1] < 2_000_000_000
        assert process.num_fds() < 16
    assert "does not confine" not in caplog.text
