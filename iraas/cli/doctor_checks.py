"""The checks of ``iraas doctor``: each one uses the real thing."""

import functools
import importlib.metadata
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from iraas.bootstrap import (
    check_home,
    cores,
    ensure_model,
    max_workers,
    new_requester_id,
    open_backend,
)
from iraas.cli.output.pluralize import pluralize
from iraas.core.ports import OutboundMessage
from iraas.core.settings import Settings
from iraas.errors import IraasError, how_to_install
from iraas.models.confined_classifier import ConfinedClassifier, ImageLimits
from iraas.monitoring.status import take_status

FREE_DISK_BYTES = 1_000_000_000
LEASE_S = 30.0


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        name: What was checked.
        passed: Whether it works; None for a warning.
        finding: What was found, or what to do.
    """

    name: str
    passed: bool | None
    finding: str


class _CheckWarning(Warning):
    """A check found something that prevents nothing and should be looked at."""


def run_checks(settings: Settings) -> Iterator[Check]:
    """Check everything that a job needs, and yield each result as it is found."""
    most = pluralize(max_workers(settings), "worker")
    yield Check("python", passed=True, finding=f"{platform.python_version()} at {sys.executable}")
    yield Check("cores", passed=True, finding=f"{cores()}, so {most}")
    load = functools.cache(_load_model)
    for name, check in (
        ("classifier", _packages),
        ("model", lambda settings: _model(load(settings))),
        ("confinement", lambda settings: _confinement(load(settings))),
        ("home", _home),
        ("queue", _queue),
        ("deployment", _deployment),
        ("dead letters", _dead_letters),
    ):
        yield _try(name, check, settings)


def _try(name: str, check: Callable[[Settings], str], settings: Settings) -> Check:
    try:
        return Check(name, passed=True, finding=check(settings))
    except _CheckWarning as found:
        return Check(name, passed=None, finding=str(found))
    except IraasError as error:
        return Check(name, passed=False, finding=f"{error}. {error.remedy}".strip())
    except OSError as error:
        return Check(name, passed=False, finding=str(error))


def _packages(_settings: Settings) -> str:
    found = []
    for name in ("onnxruntime", "pillow", "numpy"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError as exc:
            raise IraasError(f"{name} is not installed", remedy=how_to_install("worker")) from exc
    return ", ".join(found)


@dataclass(frozen=True, slots=True)
class _LoadedModel:
    """A classifier that was started and ended, with the seconds that its start took."""

    classifier: ConfinedClassifier
    path: Path
    took_s: float


def _load_model(settings: Settings) -> _LoadedModel:
    path = ensure_model(settings, lambda _: None)
    began = time.perf_counter()
    with closing(ConfinedClassifier(path, ImageLimits())) as classifier:
        classifier.wait_until_ready()
    return _LoadedModel(classifier, path, time.perf_counter() - began)


def _model(loaded: _LoadedModel) -> str:
    return f"{loaded.classifier.model_id}, loaded in {loaded.took_s:.2f} s from {loaded.path}"


def _confinement(loaded: _LoadedModel) -> str:
    if missing := loaded.classifier.unconfined:
        raise _CheckWarning(
            "this system does not confine the process that decodes images in: "
            f"{missing} (docs/security.md)"
        )
    return "the process that decodes images reaches no file, no network and no other process"


def _home(settings: Settings) -> str:
    check_home(settings.home)
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        raise IraasError(f"{folder} cannot be written", remedy="Give another --home.")
    free = shutil.disk_usage(folder).free
    if free < FREE_DISK_BYTES:
        raise IraasError(f"{settings.home} has only {free / 1e9:.1f} GB left")
    return f"{settings.home}, {free / 1e9:,.0f} GB free"


def _queue(settings: Settings) -> str:
    """Send a message through a queue of our own, and measure the round trip."""
    requester = new_requester_id("doctor")
    with open_backend(settings) as backend:
        began = time.perf_counter()
        queue = backend.responses.create(requester)
        try:
            queue.send([OutboundMessage("ping")])
            received = queue.receive(1, lease_s=LEASE_S, wait_s=5.0)
            queue.delete([message.receipt for message in received])
        finally:
            backend.responses.delete(requester)
    if [message.body for message in received] != ["ping"]:
        raise IraasError("a message that was sent did not arrive within 5 s")
    return f"queue round trip: {(time.perf_counter() - began) * 1000:.0f} ms"


def _deployment(settings: Settings) -> str:
    with open_backend(settings) as backend:
        status = take_status(backend, settings.deployment, time.time)
    decision = status.decision
    if decision and decision.broken_in_a_row:
        raise IraasError(f"workers cannot work: {decision.reason}")
    return (
        f"{settings.deployment} ({status.backend}): "
        f"{pluralize(status.queue.total, 'request')} on the queue, "
        f"{pluralize(len(status.workers), 'worker')}"
    )


def _dead_letters(settings: Settings) -> str:
    with open_backend(settings) as backend:
        found = backend.dead_letters.depth().total
    if found:
        letters = pluralize(found, "dead letter")
        raise _CheckWarning(f"{letters}: see the reasons with iraas status --dead-letters")
    return "none"
