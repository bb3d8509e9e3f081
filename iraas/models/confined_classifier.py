"""A classifier in a confined process, which can access nothing but the model.

Images are untrusted and decoders have bugs: a crash ends that process alone, and code that takes it
over finds no secret, no file, no network and no other process. A process that has ended is
restarted, which takes about 0.3 s.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iraas.core.outcomes import Prediction
from iraas.core.settings import (
    DEFAULT_IMAGE_CPU_S,
    DEFAULT_MAX_IMAGE_BYTES,
    DEFAULT_MAX_PIXELS,
)
from iraas.decoding.limits import DECODING_BYTES
from iraas.errors import (
    DecoderCrashError,
    ImageError,
    ImageTooSlowError,
    MessageError,
    ProcessDiedError,
)
from iraas.models.confined_protocol import Greeting, decode_answer, decode_greeting
from iraas.sandbox.commands import module_command
from iraas.sandbox.environment import decoder_environment
from iraas.sandbox.process import ConfinedProcess, check_confinement, ended_by_cpu_budget

log = logging.getLogger(__name__)
BATCH_SIZE = 4
MAX_HANGS = 2
"""One hang may be the machine's fault: a paused process, or a disk that swaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """Limits on the cost of one image.

    Attributes:
        max_pixels: Width times height.
        max_image_bytes: Length of the file.
        image_cpu_s: CPU seconds to decode and preprocess it.
        answer_s: Seconds of wall clock to classify it: a process that hangs uses no CPU time.
        max_attempts: How often it may crash its process before it fails.
    """

    max_pixels: int = DEFAULT_MAX_PIXELS
    max_image_bytes: int = DEFAULT_MAX_IMAGE_BYTES
    image_cpu_s: float = DEFAULT_IMAGE_CPU_S
    answer_s: float = 20.0
    max_attempts: int = 3


class ConfinedClassifier:
    """The `Classifier` port in a confined process. Not thread-safe; `close` it at the end.

    The constructor starts the process; `wait_until_ready` waits for its model.

    Args:
        bundle: The directory of the model's bundle.
        limits: Limits on the cost of one image.
        verify: Whether the process checks the bundle's hashes at its first start.
        must_be_confined: Whether to fail where the system cannot block the process's network
            access: on a machine that serves credentials over the network.
    """

    def __init__(
        self,
        bundle: Path,
        limits: ImageLimits,
        *,
        verify: bool = True,
        must_be_confined: bool = False,
    ) -> None:
        self._bundle = bundle
        self._limits = limits
        self._verify = verify
        self._must_be_confined = must_be_confined
        self._greeting: Greeting | None = None
        self._process = self._start()

    @property
    def model_id(self) -> str:
        """The bundle: ``efficientnet-lite0@1a2b3c4d``. Known once it is ready."""
        return self._greeting.model_id if self._greeting else ""

    @property
    def batch_size(self) -> int:
        """Small, yet enough that the process seldom waits for its parent."""
        return BATCH_SIZE

    @property
    def unconfined(self) -> str:
        """The accesses that the system does not block, for people; known once it is ready."""
        return self._greeting.unconfined if self._greeting else ""

    @property
    def pid(self) -> int:
        """The process id; a restart changes it."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait until the model is loaded. Idempotent.

        Raises:
            BundleError: The bundle cannot be run.
            MissingExtraError: A package is not installed.
            ConfigurationError: The process must be confined and cannot be.
            ProcessDiedError: The process exited while starting.
        """
        if self._greeting is None:
            self._read_greeting()

    def classify(self, images: Sequence[bytes]) -> Iterator[Prediction | ImageError]:
        """Classify images; see `iraas.core.ports.Classifier.classify`.

        An image that crashes the process is retried in a new one, together with those after it.

        Args:
            images: The bytes of the image files.

        Yields:
            A prediction or the error of each image, in order, as soon as it is known.

        Raises:
            ProcessDiedError: The process could not be restarted.
        """
        self.wait_until_ready()
        done, failures = 0, _Failures(self._limits)
        while done < len(images):
            try:
                for reply in self._process.ask_all(images[done:], timeout_s=self._limits.answer_s):
                    answer = decode_answer(reply)
                    done, failures = done + 1, _Failures(self._limits)
                    yield answer
            except (MessageError, ProcessDiedError) as exc:
                self._restart()
                error = failures.add(exc)
                if error is not None:
                    done, failures = done + 1, _Failures(self._limits)
                    yield error

    def close(self) -> None:
        """End the process. Idempotent."""
        self._process.close()

    def _restart(self) -> None:
        self._process.close()
        self._verify = False
        self._process = self._start()
        self._read_greeting()

    def _start(self) -> ConfinedProcess:
        return ConfinedProcess(
            module_command("iraas.models.confined_process"), decoder_environment(os.environ)
        )

    def _read_greeting(self) -> None:
        limits = self._limits
        order = {
            "bundle": str(self._bundle),
            "verify": self._verify,
            "max_pixels": limits.max_pixels,
            "image_cpu_s": limits.image_cpu_s,
            "headroom_bytes": DECODING_BYTES + limits.max_image_bytes,
        }
        greeting = decode_greeting(self._process.ask(json.dumps(order).encode()))
        greeting.check()
        if self._greeting is None:
            check_confinement(
                greeting.unconfined, "classifier", must_be_confined=self._must_be_confined
            )
        self._greeting = greeting


class _Failures:
    """Counts the crashes of one image, and decides when it fails."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._count = 0
        self._hangs = 0

    def add(self, failure: MessageError | ProcessDiedError) -> ImageError | None:
        """Count a crash of the process, or a malformed answer.

        Returns:
            The error that the image fails with; None to retry it.
        """
        limits = self._limits
        self._count += 1
        if isinstance(failure, MessageError):
            log.warning("malformed answer of a classifier process: %s", failure)
        elif ended_by_cpu_budget(failure):
            return ImageTooSlowError(
                f"decoding took more CPU time than the {limits.image_cpu_s:g} s that one image "
                "may take (the setting image_cpu_s)"
            )
        else:
            log.warning("a classifier process ended with status %d", failure.status)
            self._hangs += failure.timed_out
        if self._hangs == MAX_HANGS:
            return ImageTooSlowError(f"no answer within {limits.answer_s:g} s, twice")
        if self._count == limits.max_attempts:
            return DecoderCrashError(f"it ended its classifier process {self._count} times")
        return None
