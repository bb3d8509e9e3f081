"""A classifier process, as the supervisor of a worker starts it: not a command for people.

It reads one line from its standard input, classifies until it is told to stop or its supervisor is
gone, and writes beats to its standard output. Its settings are in its environment.
"""

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from iraas.cli.composition import open_backend
from iraas.cli.options import resolve_settings
from iraas.core.settings import Settings
from iraas.errors import IraasError
from iraas.services.worker.beats import Beat
from iraas.services.worker.faults import parse_faults
from iraas.services.worker.intake import Limits
from iraas.services.worker.pipeline import Pipeline

log = logging.getLogger(__name__)
FAULTS_VARIABLE = "IRAAS_TEST_FAULTS"
PIPE_LOST = 1
BROKEN = 70
LOCAL_LIMITS = Limits()
AWS_LIMITS = Limits(batch=10, hold=30, store=10, wait_s=20.0)


def main() -> None:
    """Run until stopped; exits by itself."""
    # Libraries in C may print: what they print must not be taken for a beat.
    beats = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    greeting = json.loads(sys.stdin.readline())

    def tell(beat: Beat) -> None:
        try:
            os.write(beats, beat.encode())
        except BrokenPipeError:
            os._exit(PIPE_LOST)

    threading.excepthook = lambda failure: _die_of(failure, tell)
    try:
        _work(Path(greeting["bundle"]), greeting["worker_id"], tell)
    except IraasError as error:
        tell(_error_beat(error))
        sys.exit(BROKEN)


def _work(bundle: Path, worker_id: str, tell: Callable[[Beat], None]) -> None:
    from iraas.classifier.onnx_runtime import load_classifier  # noqa: PLC0415 - after the greeting

    settings = resolve_settings({}, None).settings
    classifier = load_classifier(bundle, max_pixels=settings.max_pixels)
    with open_backend(settings) as backend:
        pipeline = Pipeline(
            backend,
            classifier,
            worker_id,
            limits=_limits(settings),
            tell=tell,
            fault=parse_faults(os.environ.get(FAULTS_VARIABLE, "")),
        )
        signal.signal(signal.SIGTERM, lambda *_: pipeline.stop())
        threading.Thread(target=_stop_with_supervisor, args=(pipeline,), daemon=True).start()
        pipeline.run()


def _limits(settings: Settings) -> Limits:
    limits = LOCAL_LIMITS if settings.backend == "local" else AWS_LIMITS
    return replace(
        limits,
        lease_s=settings.lease_s,
        wait_s=limits.wait_s if settings.poll_s is None else settings.poll_s,
        max_attempts=settings.max_attempts,
    )


def _stop_with_supervisor(pipeline: Pipeline) -> None:
    """Wait for the end of the standard input, which comes when the supervisor is gone."""
    sys.stdin.read()
    pipeline.stop()


def _error_beat(error: IraasError) -> Beat:
    return Beat("", error=f"{error}. {error.remedy}".strip())


def _die_of(failure: threading.ExceptHookArgs, tell: Callable[[Beat], None]) -> None:
    """End the process when one of its threads fails: half a pipeline would only hold messages."""
    assert failure.exc_value is not None
    if isinstance(failure.exc_value, IraasError):
        tell(_error_beat(failure.exc_value))
    log.critical("a thread failed", exc_info=failure.exc_value)
    os._exit(BROKEN)


if __name__ == "__main__":
    main()
