"""Small programs that the tests run as confined processes."""

import sys
from pathlib import Path

from iraas.sandbox.process import ConfinedProcess

HEAD = """
import encodings.idna, json, os, signal, socket, subprocess, sys, threading
from iraas.sandbox.frames import read_frame, write_frame
from iraas.sandbox.limits import cpu_budget, end_with_parent, limit_files, limit_memory
from iraas.sandbox.confinement import confine, confine_after_loading
requests = iter(lambda: read_frame(sys.stdin.buffer, max_bytes=10**9), None)
def answer(data): write_frame(sys.stdout.buffer, data)
"""

ECHO = "for request in requests: answer(request)"

FLOOD = """
limit_files()
for request in requests:
    for _ in range(10_000):
        try: os.write(2, b'libtiff: bad code word\\n' * 50)
        except OSError: pass
    answer(b'done')
"""

BUSY = """
for request in requests:
    with cpu_budget(0.2):
        while True: pass
"""

CRASH = """
for request in requests:
    os.write(2, b'about to crash \\x1b[31m')
    os.kill(os.getpid(), signal.SIGSEGV)
"""

GARBAGE = "for request in requests: os.write(1, b'\\xff\\xff\\xff\\xff garbage')"

DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nthreading.Event().wait()"

GREEDY = """
limit_memory(50_000_000)
for request in requests:
    try: answer(b'%d' % len(bytes(int(request))))
    except MemoryError: answer(b'refused')
"""


def start(program: str, environment: dict[str, str] | None = None) -> ConfinedProcess:
    """Start a program as a child."""
    return ConfinedProcess([sys.executable, "-P", "-c", HEAD + program], environment or {})


def attempt(*, confinement: str, attempts: str) -> str:
    """A program that confines itself and answers with the result of each attempt, as JSON.

    Args:
        confinement: Statements that confine.
        attempts: The items of a dictionary from a name to a function of no arguments.
    """
    return f"""
{confinement}
def outcome(function):
    try: function()
    except (OSError, ValueError) as exc: return type(exc).__name__
    return "allowed"
for request in requests:
    answer(json.dumps({{name: outcome(one) for name, one in {{{attempts}}}.items()}}).encode())
"""


def open_descriptors() -> set[str]:
    """The descriptors of this process, where the system lists them."""
    folder = Path("/proc/self/fd")
    return {one.name for one in folder.iterdir()} if folder.exists() else set()
