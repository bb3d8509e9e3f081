"""Irrevocable confinement of the current process to the accesses that decoding an image needs.

Two mechanisms of the Linux kernel, which need no privileges: Landlock blocks the file system and
TCP, seccomp the system calls for the network, other processes and other programs. Both also set
``no_new_privs``. Where one is missing the other still works, and the result reports it. Both apply
to the calling thread and the threads that it starts: confine a process before it has threads.

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
"""The kernel ignores the bits of a command above the lower 32."""
_BINARY_TREE = 2
"""libseccomp's optimization level that compiles the rules to a binary tree."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """The accesses that are blocked for a process.

    Attributes:
        files: All files except Python's libraries and the allowed ones, which are read-only.
        network: Sockets.
        processes: Running programs, and access to other processes.
    """

    files: bool
    network: bool
    processes: bool

    @property
    def missing(self) -> str:
        """The accesses that are not blocked, comma-separated; empty if all are blocked."""
        states = {"files": self.files, "network": self.network, "processes": self.processes}
        return ", ".join(name for name, is_blocked in states.items() if not is_blocked)


def confine(readable: Sequence[Path] = ()) -> Confinement:
    """Confine this process irrevocably. Call it once, before there are threads.

    Args:
        readable: Files and folders that stay readable, beside Python's libraries.

    Returns:
        The accesses that are blocked. A mechanism that the kernel lacks is not an error.
    """
    seccomp = _load_seccomp()  # before the confinement: it runs a program to find its library
    files = _restrict_files(readable)
    calls = _forbid_calls(seccomp)
    return Confinement(files=files, network=calls, processes=calls)


def confine_after_loading(confinement: Confinement) -> Confinement:
    """Restrict this process to the system calls of decoding, and of importing under Landlock.

    Call it once the process has loaded everything it needs. Does nothing without seccomp.

    Args:
        confinement: The result of `confine`.

    Returns:
        The accesses that are blocked now. Without Landlock no file can be opened any more.
    """
    if not confinement.processes:
        return confinement
    blocks_files = _allow_decoding_only(_load_seccomp(), importing=confinement.files)
    return replace(confinement, files=confinement.files or blocks_files)


def library_paths() -> list[Path]:
    """The paths of Python, its packages and their shared libraries, which stay readable."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = [Path(sysconfig.get_path(name)) for name in names]
    found += [Path(sys.base_prefix) / "lib", Path("/lib"), Path("/lib64"), Path("/usr/lib")]
    found += [Path("/usr/lib64"), Path("/etc/ld.so.cache"), Path("/usr/local/lib")]
    for package in ("iraas", "numpy", "PIL", "onnxruntime"):
        found += _package_paths(package)
    # The model's runtime reads the processor's properties, randomness and this process's size.
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
            with suppress(OSError):  # some of the paths do not exist on every system
                folder = path.is_dir()
                ruleset.allow_path(path, reading if folder else landlockpy.AccessFS.READ_FILE)
        ruleset.restrict()
    return True


def _forbid_calls(seccomp: ModuleType | None) -> bool:
    """Refuse the calls that no decoder makes; a model may still be loaded, with threads."""
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
    # Its flags are in memory, which a filter cannot read; the C library falls back to clone.
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.add_rule(refusal, "tgkill", seccomp.Arg(0, seccomp.NE, os.getpid()))
    rules.add_rule(refusal, "prlimit64", seccomp.Arg(0, seccomp.NE, 0))  # 0 is this process
    return _load_rules(seccomp, rules)


def _allow_decoding_only(seccomp: ModuleType | None, *, importing: bool) -> bool:
    """Refuse all calls except those of decoding; calls refused before stay refused."""
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
    with suppress(OSError, ValueError):  # this architecture may lack the call
        rules.add_rule(action, name, *arguments)


def _load_rules(seccomp: ModuleType, rules: Any) -> bool:
    with suppress(OSError, ValueError):  # an old libseccomp lacks the level
        rules.set_attr(seccomp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
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
    except (ImportError, RuntimeError, OSError):  # it fails in several ways without libseccomp
        return None
    module: ModuleType = pyseccomp
    return module
