"""A classifier process, as the supervisor of a worker starts it: not a command for people.

It reads one line from its standard input, works until it is stopped or its supervisor is gone, and
writes heartbeats to its standard output. Its settings are in its environment. It receives, stores
and replies, and never decodes an image: the confined process that it starts does that.
"""

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from iraas.bootstrap import open_backend
from iraas.core.fault_injection import FAULTS_VARIABLE, parse_faults
from iraas.core.resolver import settings_from_environment
from iraas.core.settings import Settings
from iraas.errors import IraasError, ProcessDiedError
from iraas.models.confined_classifier import ConfinedClassifier, ImageLimits
from iraas.worker.heartbeat import Heartbeat
from iraas.worker.pipeline import Pipeline
from iraas.worker.receiver import WorkerLimits

log = logging.getLogger(__name__)
PIPE_LOST = 1
BROKEN = 70
ANSWERS_IN_A_STALL = 3
"""An image that hangs twice fails before the supervisor considers the whole process stalled."""
LOCAL_LIMITS = WorkerLimits()
AWS_LIMITS = WorkerLimits(receive_batch_size=10, max_prefetch=30, store_batch_size=10, wait_s=20.0)


def main() -> None:
    """Run until stopped; exits the process itself."""
    # Libraries in C may print: their output must not be read as a heartbeat.
    heartbeats = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    faulthandler.enable()
    _yield_to_others()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    greeting = json.loads(sys.stdin.readline())

    def send(heartbeat: Heartbeat) -> None:
        try:
            os.write(heartbeats, heartbeat.encode())
        except BrokenPipeError:
            os._exit(PIPE_LOST)

    threading.excepthook = lambda failure: _end_process(failure, send)
    try:
        _work(greeting, send)
    except ProcessDiedError as error:  # the next process may succeed
        log.warning("%s", error)
        sys.exit(BROKEN)
    except IraasError as error:
        send(_error_heartbeat(error))
        sys.exit(BROKEN)


def _yield_to_others() -> None:
    """Let this process preempt no other when it wakes up (sched(7), SCHED_BATCH).

    Commands and the web tier run first. The next image is sent and the last answer is read when the
    classifier has used up its time slice, and do not interrupt its work.
    """
    with suppress(OSError, AttributeError):  # Linux only
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _work(greeting: Mapping[str, Any], send: Callable[[Heartbeat], None]) -> None:
    settings = settings_from_environment(os.environ)
    # Started first: it loads the model while the backend is opened.
    classifier = ConfinedClassifier(
        Path(greeting["bundle"]),
        _image_limits(settings),
        must_be_confined=greeting["must_be_confined"],
    )
    with closing(classifier), open_backend(settings) as backend:
        classifier.wait_until_ready()
        pipeline = Pipeline(
            backend,
            classifier,
            greeting["worker_id"],
            limits=_limits(settings),
            on_heartbeat=send,
            fault=parse_faults(os.environ.get(FAULTS_VARIABLE, "")),
        )
        signal.signal(signal.SIGTERM, lambda *_: pipeline.stop())
        threading.Thread(target=_stop_with_supervisor, args=(pipeline,), daemon=True).start()
        pipeline.run()


def _image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(
        max_pixels=settings.max_pixels,
        max_image_bytes=settings.max_image_bytes,
        image_cpu_s=settings.image_cpu_s,
        answer_s=settings.stall_timeout_s / ANSWERS_IN_A_STALL,
        max_attempts=settings.max_attempts,
    )


def _limits(settings: Settings) -> WorkerLimits:
    limits = LOCAL_LIMITS if settings.backend == "local" else AWS_LIMITS
    return replace(
        limits,
        lease_s=settings.lease_s,
        wait_s=limits.wait_s if settings.poll_s is None else settings.poll_s,
        max_attempts=settings.max_attempts,
    )


def _stop_with_supervisor(pipeline: Pipeline) -> None:
    """Stop at the end of the standard input, which means that the supervisor is gone."""
    sys.stdin.read()
    pipeline.stop()


def _error_heartbeat(error: IraasError) -> Heartbeat:
    return Heartbeat("", error=f"{error}. {error.remedy}".strip())


def _end_process(failure: threading.ExceptHookArgs, send: Callable[[Heartbeat], None]) -> None:
    """End the process when one of its threads fails: half a pipeline would only hold messages."""
    assert failure.exc_value is not None
    if isinstance(failure.exc_value, IraasError):
        send(_error_heartbeat(failure.exc_value))
    log.critical("a thread failed", exc_info=failure.exc_value)
    os._exit(BROKEN)


if __name__ == "__main__":
    main()
