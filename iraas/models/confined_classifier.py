"""A classifier in a process of its own, which can reach nothing but the model.

Images come from strangers and decoders have bugs: what goes wrong there ends that process, and
what takes it over finds no secret, no file, no network and no other process. The process is started
again when it ends; it costs about 0.3 s.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iraas.core.outcomes import Prediction
from iraas.decoding.limits import DECODING_BYTES, DEFAULT_IMAGE_CPU_S, DEFAULT_MAX_PIXELS
from iraas.errors import (
    ConfigurationError,
    DecoderCrashError,
    ImageError,
    ImageTooSlowError,
    MessageError,
    ProcessDiedError,
)
from iraas.models.confined_protocol import Greeting, decode_answer, decode_greeting
from iraas.sandbox.commands import module_command
from iraas.sandbox.environment import decoder_environment
from iraas.sandbox.process import ConfinedProcess, ended_by_cpu_budget

log = logging.getLogger(__name__)
BATCH_SIZE = 4
MAX_HANGS = 2
"""Once may be the machine's fault: a process that was paused, or a disk that swaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What one image may cost.

    Attributes:
        max_pixels: Width times height.
        max_image_bytes: The file's length.
        image_cpu_s: CPU seconds to decode and prepare it.
        answer_s: Seconds of wall clock to classify it: a process that hangs uses no CPU time.
        max_attempts: How often it may end its process.
    """

    max_pixels: int = DEFAULT_MAX_PIXELS
    max_image_bytes: int = 50_000_000
    image_cpu_s: float = DEFAULT_IMAGE_CPU_S
    answer_s: float = 20.0
    max_attempts: int = 3


class ConfinedClassifier:
    """`iraas.core.ports.Classifier` in a confined process. For one thread; `close` it at the end.

    The process starts with the object; `wait_until_ready` waits for its model.

    Args:
        bundle: The folder of the model's bundle.
        limits: What one image may cost.
        verify: Whether the process checks the bundle's hashes, at its first start.
        must_be_confined: Whether to refuse to work where the system cannot keep the process from
            the network: on a machine whose credentials lie there.
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
        """A few, so that the process seldom waits for its parent."""
        return BATCH_SIZE

    @property
    def unconfined(self) -> str:
        """What the system does not confine the process in, for people; known once it is ready."""
        return self._greeting.unconfined if self._greeting else ""

    @property
    def pid(self) -> int:
        """The process's id; another one after each restart."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait until the model is loaded. Idempotent.

        Raises:
            BundleError: The bundle cannot be run.
            MissingExtraError: A package is not installed.
            ConfigurationError: It must be confined and cannot be.
            ProcessDiedError: It ended at its start.
        """
        if self._greeting is None:
            self._greet()

    def classify(self, images: Sequence[bytes]) -> Iterator[Prediction | ImageError]:
        """Classify images; see `iraas.core.ports.Classifier.classify`.

        An image that ends the process is tried again in a new one, and those after it with it.

        Raises:
            ProcessDiedError: The process could not be started again.
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
        self._greet()

    def _start(self) -> ConfinedProcess:
        return ConfinedProcess(
            module_command("iraas.models.confined_process"), decoder_environment(os.environ)
        )

    def _greet(self) -> None:
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
        if greeting.unconfined and self._greeting is None:
            self._tell_unconfined(greeting.unconfined)
        self._greeting = greeting

    def _tell_unconfined(self, unconfined: str) -> None:
        if self._must_be_confined and "network" in unconfined:
            raise ConfigurationError(
                "this system cannot keep the process that decodes images from the network, where "
                "this machine's credentials are",
                remedy="Install libseccomp, and pyseccomp with pip.",
            )
        log.warning("this system does not confine the classifier process in: %s", unconfined)


class _Failures:
    """Counts how often one image ended the process, and says when that is enough."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._count = 0
        self._hangs = 0

    def add(self, failure: MessageError | ProcessDiedError) -> ImageError | None:
        """Count an end of the process, or an answer that cannot be read.

        Returns:
            Why the image is given up; None to try it again.
        """
        limits = self._limits
        self._count += 1
        if isinstance(failure, MessageError):
            log.warning("a classifier process answered with garbage: %s", failure)
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
