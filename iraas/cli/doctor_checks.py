"""The checks of ``iraas doctor``: each tries the real thing."""

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
    """One thing that was tried: what, whether it works, and what was found or what to do.

    Whether it works is None where something should be looked at that hinders nothing.
    """

    name: str
    passed: bool | None
    finding: str


class _WorthALookError(Exception):
    """A trial found something that hinders nothing and should be looked at."""


def run_checks(settings: Settings) -> Iterator[Check]:
    """Try everything that a job needs, and give each finding as it is made."""
    most = pluralize(max_workers(settings), "worker")
    yield Check("python", passed=True, finding=f"{platform.python_version()} at {sys.executable}")
    yield Check("cores", passed=True, finding=f"{cores()}, so {most}")
    for name, trial in (
        ("classifier", _classifier),
        ("model", _model),
        ("confinement", _confinement),
        ("home", _home),
        ("queue", _queue),
        ("deployment", _deployment),
        ("dead letters", _dead_letters),
    ):
        yield _try(name, trial, settings)


def _try(name: str, trial: Callable[[Settings], str], settings: Settings) -> Check:
    try:
        return Check(name, passed=True, finding=trial(settings))
    except _WorthALookError as found:
        return Check(name, passed=None, finding=str(found))
    except IraasError as error:
        return Check(name, passed=False, finding=f"{error}. {error.remedy}".strip())
    except OSError as error:
        return Check(name, passed=False, finding=str(error))


def _classifier(_settings: Settings) -> str:
    found = []
    for name in ("onnxruntime", "pillow", "numpy"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError as exc:
            raise IraasError(f"{name} is not installed", remedy=how_to_install("worker")) from exc
    return ", ".join(found)


def _model(settings: Settings) -> str:
    path = ensure_model(settings, lambda _: None)
    began = time.perf_counter()
    classifier = _start_once(path)
    return f"{classifier.model_id}, loaded in {time.perf_counter() - began:.2f} s from {path}"


def _confinement(settings: Settings) -> str:
    path = ensure_model(settings, lambda _: None)
    classifier = _start_once(path)
    if classifier.unconfined:
        raise _WorthALookError(
            "this system does not confine the process that decodes images in: "
            f"{classifier.unconfined} (docs/security.md)"
        )
    return "what decodes images reaches no file, no network and no other process"


def _start_once(path: Path) -> ConfinedClassifier:
    """Start a classifier and end it; it still tells what it found."""
    with closing(ConfinedClassifier(path, ImageLimits())) as classifier:
        classifier.wait_until_ready()
    return classifier


def _home(settings: Settings) -> str:
    check_home(settings.home)
    place = next(one for one in (settings.home, *settings.home.parents) if one.exists())
    if not os.access(place, os.W_OK):
        raise IraasError(f"{place} cannot be written", remedy="Give another --home.")
    free = shutil.disk_usage(place).free
    if free < FREE_DISK_BYTES:
        raise IraasError(f"{settings.home} has only {free / 1e9:.1f} GB left")
    return f"{settings.home}, {free / 1e9:,.0f} GB free"


def _queue(settings: Settings) -> str:
    """Send a message round a queue of our own, and tell how long it took."""
    requester = new_requester_id("doctor")
    with open_backend(settings) as backend:
        began = time.perf_counter()
        queue = backend.responses.create(requester)
        try:
            queue.send([OutboundMessage("ping")])
            received = queue.receive(1, lease_s=LEASE_S, wait_s=5.0)
            queue.delete([one.receipt for one in received])
        finally:
            backend.responses.delete(requester)
    if [one.body for one in received] != ["ping"]:
        raise IraasError("a message that was sent did not arrive within 5 s")
    return f"a message went round in {(time.perf_counter() - began) * 1000:.0f} ms"


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
        raise _WorthALookError(f"{letters}: see why with iraas status --dead-letters")
    return "none"
