"""Taking from a process, by itself and for good, what decoding an image does not need.

Two mechanisms of the Linux kernel, neither of which needs privileges: Landlock takes the file
system and TCP, seccomp the system calls that reach the network, other processes and other
programs. Both also set ``no_new_privs``. Where one is missing the other still holds, and what holds
is told. Both apply to the calling thread and to what it starts: confine a process before it has
threads.

Sources: https://docs.kernel.org/userspace-api/landlock.html, landlock(7), seccomp(2).
"""

import errno
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from iraas.sandbox.system_calls import (
    DECODING_CALLS,
    FORBIDDEN_CALLS,
    FORBIDDEN_COMMANDS,
    FORBIDDEN_IOCTL_TYPES,
    IMPORTING_CALLS,
    IMPORTING_COMMANDS,
)

CLONE_THREAD = 0x00010000
_LOW_BITS = 0xFFFFFFFF
"""The kernel takes a command for 32 bits, whatever stands above them."""
_MIN_TREE_RULES = 2
"""libseccomp's level of optimization that makes a binary tree of the rules."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a process cannot reach any more.

    Attributes:
        files: No file but the libraries of Python and the ones that were allowed, read-only.
        network: No socket can be made.
        processes: No other program can be run, no other process reached.
    """

    files: bool
    network: bool
    processes: bool

    @property
    def missing(self) -> str:
        """What is not confined, for people; empty if everything is."""
        states = {"files": self.files, "network": self.network, "processes": self.processes}
        return ", ".join(name for name, holds in states.items() if not holds)


def confine(readable: Sequence[Path] = ()) -> Confinement:
    """Confine this process, for good. Call it once, before there are threads.

    Args:
        readable: Files and folders that it may still read, beside Python's own libraries.

    Returns:
        What holds. Nothing that the kernel lacks is an error.
    """
    seccomp = _load_seccomp()  # it asks another program where its library is: not later
    files = _restrict_files(readable)
    calls = _forbid_calls(seccomp)
    return Confinement(files=files, network=calls, processes=calls)


def confine_after_loading(confinement: Confinement) -> Confinement:
    """Allow this process nothing any more but to decode, and to import where Landlock holds.

    For a process that has loaded everything it needs. Where seccomp is missing it does nothing.

    Args:
        confinement: What `confine` gave.

    Returns:
        What holds now. Where Landlock is missing, no file can be opened any more.
    """
    if not confinement.processes:
        return confinement
    held = _allow_decoding_only(_load_seccomp(), importing=confinement.files)
    return replace(confinement, files=confinement.files or held)


def library_paths() -> list[Path]:
    """Where Python, its packages and their shared libraries are: what stays readable."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = [Path(sysconfig.get_path(name)) for name in names]
    found += [Path(sys.base_prefix) / "lib", Path("/lib"), Path("/lib64"), Path("/usr/lib")]
    found += [Path("/usr/lib64"), Path("/etc/ld.so.cache"), Path("/usr/local/lib")]
    for package in ("iraas", "numpy", "PIL", "onnxruntime"):
        found += _package_paths(package)
    # What the model's runtime asks about the processor, randomness, and this process's own size.
    found += [Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu"), Path("/dev/urandom")]
    return [*found, Path("/dev/null"), Path("/proc/self/statm")]


def _package_paths(package: str) -> Iterator[Path]:
    spec = find_spec(package)
    for location in (spec.submodule_search_locations if spec else None) or ():
        yield Path(location)
        yield Path(location).with_name(f"{package}.libs")
        yield Path(location).with_name(f"{package.lower()}.libs")


def _restrict_files(readable: Iterable[Path]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        import landlockpy  # noqa: PLC0415 - for Linux alone
    except ImportError:
        return False
    if not landlockpy.supported():
        return False
    reading = landlockpy.AccessFS.READ_FILE | landlockpy.AccessFS.READ_DIR
    everything = landlockpy.Scope.ABSTRACT_UNIX_SOCKET | landlockpy.Scope.SIGNAL
    with landlockpy.Ruleset(scoped=everything) as ruleset:
        for path in [*library_paths(), *readable]:
            with suppress(OSError):  # of places that not every system has
                folder = path.is_dir()
                ruleset.allow_path(path, reading if folder else landlockpy.AccessFS.READ_FILE)
        ruleset.restrict()
    return True


def _forbid_calls(seccomp: ModuleType | None) -> bool:
    """Refuse what no decoder does; a model may still be loaded, with threads."""
    if seccomp is None:
        return False
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    refusal = seccomp.ERRNO(errno.EPERM)
    for name in FORBIDDEN_CALLS:
        _add_rule(rules, refusal, name)
    for name, position, value in FORBIDDEN_COMMANDS:
        _add_rule(rules, refusal, name, seccomp.Arg(position, seccomp.MASKED_EQ, _LOW_BITS, value))
    for kind in FORBIDDEN_IOCTL_TYPES:
        _add_rule(rules, refusal, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFF00, kind << 8))
    rules.add_rule(refusal, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, CLONE_THREAD, 0))
    # Its flags lie in memory, where a filter cannot look; the C library then uses clone.
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.add_rule(refusal, "tgkill", seccomp.Arg(0, seccomp.NE, os.getpid()))
    rules.add_rule(refusal, "prlimit64", seccomp.Arg(0, seccomp.NE, 0))  # 0 is itself
    return _load_rules(seccomp, rules)


def _allow_decoding_only(seccomp: ModuleType | None, *, importing: bool) -> bool:
    """Refuse everything but what decoding needs; what was refused before stays refused."""
    if seccomp is None:
        return False
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in (*DECODING_CALLS, *(IMPORTING_CALLS if importing else ())):
        _add_rule(rules, seccomp.ALLOW, name)
    for name, position, value in IMPORTING_COMMANDS:
        command = seccomp.Arg(position, seccomp.MASKED_EQ, _LOW_BITS, value)
        _add_rule(rules, seccomp.ALLOW, name, command)
    return _load_rules(seccomp, rules)


def _add_rule(rules: Any, action: Any, name: str, *arguments: Any) -> None:
    with suppress(OSError, ValueError):  # of calls that this architecture does not have
        rules.add_rule(action, name, *arguments)


def _load_rules(seccomp: ModuleType, rules: Any) -> bool:
    with suppress(OSError, ValueError):  # an old libseccomp has no such level
        rules.set_attr(seccomp.Attr.CTL_OPTIMIZE, _MIN_TREE_RULES)
    try:
        rules.load()
    except OSError:
        return False
    return True


def _load_seccomp() -> ModuleType | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        import pyseccomp  # noqa: PLC0415 - for Linux alone
    except (ImportError, RuntimeError, OSError):  # without libseccomp it fails in its own ways
        return None
    module: ModuleType = pyseccomp
    return module
