"""The accesses that are blocked for a confined process, tried from inside one."""

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.functional.sandbox.children import attempt, start

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="confinement is the Linux kernel's"
)
CONFINE = "assert confine().missing == ''"
LOADED = "assert confine_after_loading(confine()).missing == ''"
WITHOUT_LANDLOCK = """
sys.modules['landlockpy'] = None
confinement = confine()
assert confinement.missing == 'files'
assert confine_after_loading(confinement).missing == ''
"""
WITHOUT_SECCOMP = """
sys.modules['pyseccomp'] = None
assert confine_after_loading(confine()).missing == 'network, processes'
"""
WITHOUT_BOTH = """
sys.modules['landlockpy'] = sys.modules['pyseccomp'] = None
assert confine_after_loading(confine()).missing == 'files, network, processes'
"""


def outcomes(confinement: str, attempts: str) -> dict[str, str]:
    """The results of attempts in a process that confined itself."""
    program = attempt(confinement=confinement, attempts=attempts)
    with closing(start(program)) as process:
        found: dict[str, str] = json.loads(process.ask(b"go"))
    return found


@contextmanager
def metadata_service() -> Iterator[str]:
    """An HTTP server on this machine, instead of the one that serves credentials."""

    class Credentials(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Credentials) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"'127.0.0.1', {server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("confinement", [CONFINE, LOADED, WITHOUT_LANDLOCK])
def test_it_reaches_no_network_and_no_credentials_there(confinement: str) -> None:
    with metadata_service() as address:
        found = outcomes(
            confinement,
            f"""
            "metadata": lambda: socket.create_connection(({address})),
            "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            "unix": lambda: socket.socket(socket.AF_UNIX),
            "pair": lambda: socket.socketpair(),
            """,
        )
    assert set(found.values()) == {"PermissionError"}, found


def test_without_seccomp_it_still_reaches_no_tcp() -> None:
    with metadata_service() as address:
        found = outcomes(WITHOUT_SECCOMP, f'"t": lambda: socket.create_connection(({address}))')
    assert found == {"t": "PermissionError"}


def test_without_system_support_it_warns_and_continues() -> None:
    assert outcomes(WITHOUT_BOTH, '"a file": lambda: open("/etc/passwd")') == {"a file": "allowed"}


@pytest.mark.parametrize("confinement", [CONFINE, LOADED, WITHOUT_LANDLOCK, WITHOUT_SECCOMP])
def test_it_reads_and_writes_no_file_of_the_user(confinement: str, tmp_path: Path) -> None:
    secret = tmp_path / "iraas.toml"
    secret.write_text("[default]\ntoken = 'secret'\n")
    found = outcomes(
        confinement,
        f"""
        "read": lambda: open({str(secret)!r}),
        "list": lambda: os.listdir({str(tmp_path)!r}) and open({str(secret)!r}),
        "write": lambda: open({str(tmp_path / "new")!r}, "w"),
        "remove": lambda: os.unlink({str(secret)!r}),
        "password": lambda: open("/etc/passwd"),
        "environment of the parent": lambda: open(f"/proc/{{os.getppid()}}/environ"),
        "memory of the parent": lambda: open(f"/proc/{{os.getppid()}}/mem"),
        """,
    )
    assert set(found.values()) <= {"PermissionError"}, found
    assert secret.exists()


@pytest.mark.parametrize("confinement", [CONFINE, LOADED, WITHOUT_LANDLOCK])
def test_it_runs_no_program_and_reaches_no_process(confinement: str) -> None:
    found = outcomes(
        confinement,
        """
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "run": lambda: subprocess.run(["/bin/true"]),
        "fork": lambda: os.fork(),
        "kill": lambda: os.kill(os.getppid(), 0),
        "group": lambda: os.killpg(os.getpgid(0), 0),
        """,
    )
    assert set(found.values()) == {"PermissionError"}, found


@pytest.mark.parametrize("confinement", [CONFINE, LOADED, WITHOUT_LANDLOCK])
def test_it_cannot_signal_watch_or_outlive_others_indirectly(confinement: str) -> None:
    prepare = """
import ctypes, fcntl
reader, writer = os.pipe()
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0: raise OSError(ctypes.get_errno(), name)
"""
    found = outcomes(
        prepare + confinement,
        """
        "owner of a pipe": lambda: fcntl.fcntl(reader, 8, os.getppid()),
        "the same, behind high bits": lambda: call("syscall", 72, reader, (1 << 32) + 8, 1),
        "signal of a pipe": lambda: fcntl.fcntl(reader, 10, signal.SIGKILL),
        "attributes": lambda: fcntl.ioctl(0, 0x40086602, b"\\0" * 8),
        "extended attributes": lambda: fcntl.ioctl(0, 0x401C5820, b"\\0" * 28),
        "typing": lambda: fcntl.ioctl(0, 0x5412, b"a"),
        "inotify": lambda: call("inotify_init1", 0),
        "fanotify": lambda: call("fanotify_init", 0, 0),
        "lock": lambda: fcntl.flock(0, fcntl.LOCK_SH),
        "lease": lambda: fcntl.fcntl(0, 1024, fcntl.F_RDLCK),
        "end with the parent": lambda: call("prctl", 1, 0),
        """,
    )
    assert set(found.values()) == {"PermissionError"}, found


def test_once_it_has_loaded_it_can_only_decode() -> None:
    found = outcomes(
        LOADED,
        """
        "memory": lambda: bytearray(10_000_000),
        "clock": lambda: os.times(),
        "pipe": lambda: os.pipe(),
        "mask": lambda: os.umask(0),
        "folder": lambda: os.chdir("/"),
        "file in memory": lambda: os.memfd_create("x"),
        "event": lambda: os.eventfd(0),
        "session": lambda: os.setsid(),
        """,
    )
    assert found.pop("memory") == found.pop("clock") == "allowed"
    assert set(found.values()) == {"PermissionError"}, found


@pytest.mark.parametrize("confinement", [CONFINE, LOADED, WITHOUT_LANDLOCK])
def test_it_changes_nothing_about_a_file(confinement: str, tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("secret")
    secret.chmod(0o600)
    path = repr(str(secret))
    before = secret.stat()
    found = outcomes(
        confinement,
        f"""
        "mode": lambda: os.chmod({path}, 0o666),
        "owner": lambda: os.chown({path}, os.getuid(), os.getgid()),
        "time": lambda: os.utime({path}, (1, 1)),
        "attribute": lambda: os.setxattr({path}, "user.a", b"b"),
        """,
    )
    assert set(found.values()) == {"PermissionError"}, found
    assert (secret.stat().st_mode, secret.stat().st_mtime) == (before.st_mode, before.st_mtime)


@pytest.mark.parametrize("confinement", [CONFINE, LOADED, WITHOUT_LANDLOCK])
def test_it_changes_no_limit_and_no_priority_of_another_process(confinement: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = outcomes(
        f"import resource\n{confinement}",
        """
        "limit": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (9, 9)),
        "time": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (9999, 9999)),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
        "cores": lambda: os.sched_setaffinity(os.getppid(), {0}),
        "policy": lambda: os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0)),
        """,
    )
    assert set(found.values()) == {"PermissionError"}, found
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_it_may_still_lower_its_own_limits() -> None:
    found = outcomes(CONFINE, '"a limit": lambda: limit_memory(10**9) and None')
    assert found == {"a limit": "allowed"}


def test_threads_still_start() -> None:
    found = outcomes(CONFINE, '"a thread": lambda: threading.Thread(target=print).start()')
    assert found == {"a thread": "allowed"}


def test_allowed_files_stay_readable(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    allow = f"from pathlib import Path\nconfine([Path({str(tmp_path)!r})])"
    model = str(tmp_path / "model.onnx")
    found = outcomes(
        allow, f'"read": lambda: open({model!r}), "write": lambda: open({model!r}, "w")'
    )
    assert found == {"read": "allowed", "write": "PermissionError"}
