"""Boots the instances of an emulator: runs their real user data, each in a process group.

An emulator says that an instance runs, and runs nothing. This watches it, fetches the user data of
each new instance, and executes it with bash. On its PATH there are stand-ins for what only a
machine has: ``shutdown`` ends the instance at the emulator and all its processes, ``aws`` copies
from and to S3, ``python3.11 -m venv`` gives the virtual environment that runs the tests, and
``systemctl`` starts what a unit says. An instance that is terminated at the emulator is killed.
"""

import base64
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from iraas.backends.aws.session import AwsSession

ROOT = Path(__file__).parents[3]
POLL_S = 0.1

_SHUTDOWN = """#!/bin/sh
echo "shutdown $*" >>"$MACHINE/shutdowns"
case "$*" in *now*) touch "$MACHINE/halt"; sleep 60 ;; esac
"""

_RUNUSER = """#!/bin/sh
while [ "$1" != "--" ]; do shift; done
shift
exec "$@"
"""

_QUIET = """#!/bin/sh
echo "$(basename "$0") $*" >>"$MACHINE/calls"
"""

_PYTHON = """#!{python}
import pathlib, sys
assert sys.argv[1:3] == ["-m", "venv"], sys.argv
bin = pathlib.Path(sys.argv[3], "bin")
bin.mkdir(parents=True)
for name, text in {{"pip": {pip!r}, "iraas": {iraas!r}}}.items():
    (bin / name).write_text(text)
    (bin / name).chmod(0o755)
"""

_PIP = """#!{python}
import re, sys, zipfile
wheel, extras = re.fullmatch(r"(.*[.]whl)\\[(.*)\\]", sys.argv[-1]).groups()
names = zipfile.ZipFile(wheel).namelist()
assert "iraas/__init__.py" in names, names
assert "aws" in extras.split(","), extras
"""

_IRAAS = """#!/bin/sh
exec {python} -m iraas "$@"
"""

_AWS = """#!{python}
import sys, urllib.parse
import boto3
arguments = [one for one in sys.argv[1:] if one != "--only-show-errors"]
assert arguments[:2] == ["s3", "cp"], arguments
source, target = arguments[2:]
s3 = boto3.client("s3")
if source.startswith("s3://"):
    url = urllib.parse.urlsplit(source)
    s3.download_file(url.netloc, url.path[1:], target)
else:
    url = urllib.parse.urlsplit(target)
    body = sys.stdin.buffer.read() if source == "-" else open(source, "rb").read()
    s3.put_object(Bucket=url.netloc, Key=url.path[1:], Body=body)
"""

_SYSTEMCTL = """#!{python}
import os, pathlib, re, shlex, subprocess, sys
given = pathlib.Path(os.environ["MACHINE"], "set-environment")
if sys.argv[1] == "set-environment":
    given.write_text(sys.argv[2])
if sys.argv[1] == "enable":
    for name in sys.argv[3:]:
        if name.endswith(".timer"):
            assert pathlib.Path(os.environ["IRAAS_MACHINE_UNITS"], name).exists(), name
            continue
        unit = pathlib.Path(os.environ["IRAAS_MACHINE_UNITS"], name + ".service").read_text()
        settings = dict(
            pair.split("=", 1)
            for line in re.findall("^Environment=(.*)$", unit, re.M)
            for pair in shlex.split(line)
        )
        if given.exists() and "PassEnvironment=IRAAS_TOKEN" in unit:
            settings.update([given.read_text().split("=", 1)])
        command = shlex.split(re.search("^ExecStart=(.*)$", unit, re.M)[1])
        log = open(os.environ["MACHINE"] + "/" + name + ".log", "ab")
        subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
"""


@dataclass
class Machine:
    """One booted instance.

    Attributes:
        instance_id: Its id.
        folder: Where its files are.
        process: The shell that runs the user data.
        ended: Whether the instance is gone.
    """

    instance_id: str
    folder: Path
    process: "subprocess.Popen[bytes]"
    ended: bool = False

    @property
    def log(self) -> str:
        """The output of the user data."""
        path = self.folder / "console"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @property
    def shutdowns(self) -> list[str]:
        """The requested shutdowns, in order."""
        path = self.folder / "shutdowns"
        return path.read_text().splitlines() if path.exists() else []

    def kill(self) -> None:
        """Kill the machine at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class BootShim:
    """Watches an emulator and boots its running instances.

    Attributes:
        endpoint: The emulator's URL.
        folder: Where the machines' files go.
        environment: What the machines' processes get, beside their own.
        machines: All that were booted, by instance id.
        most_at_once: The most that ran at one time.
        errors: What went wrong in the shim itself.
    """

    endpoint: str
    folder: Path
    environment: Mapping[str, str]
    machines: dict[str, Machine] = field(default_factory=dict)
    most_at_once: int = 0
    errors: list[BaseException] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _imds: str = ""

    def running(self) -> list[Machine]:
        """The current machines."""
        return [one for one in self.machines.values() if not one.ended]

    def watch(self) -> None:
        """Boot and end machines until stopped."""
        session = AwsSession("us-east-1", endpoint_url=self.endpoint)
        try:
            ec2 = session.client("ec2")
            while not self._stop.wait(POLL_S):
                self._look(ec2)
        except BaseException as exc:  # noqa: BLE001 - the test that owns the shim raises it
            self.errors.append(exc)
        finally:
            for machine in self.running():
                machine.kill()
            session.close()

    def stop(self) -> None:
        """End the watch, and all machines."""
        self._stop.set()

    def _look(self, ec2: Any) -> None:
        states = {}
        for page in ec2.get_paginator("describe_instances").paginate():
            for reservation in page["Reservations"]:
                for one in reservation["Instances"]:
                    states[one["InstanceId"]] = one["State"]["Name"]
        for machine in self.running():
            if (machine.folder / "halt").exists():
                self._halt(ec2, machine)
            elif states.get(machine.instance_id) not in ("pending", "running"):
                machine.kill()
                machine.ended = True
        for instance_id, state in states.items():
            if state == "running" and instance_id not in self.machines:
                self.machines[instance_id] = self._boot(ec2, instance_id)
        self.most_at_once = max(self.most_at_once, len(self.running()))

    def _halt(self, ec2: Any, machine: Machine) -> None:
        machine.kill()
        machine.ended = True
        answer = ec2.describe_instance_attribute(
            InstanceId=machine.instance_id, Attribute="instanceInitiatedShutdownBehavior"
        )
        if answer["InstanceInitiatedShutdownBehavior"]["Value"] == "stop":
            ec2.stop_instances(InstanceIds=[machine.instance_id])
        else:
            ec2.terminate_instances(InstanceIds=[machine.instance_id])

    def _boot(self, ec2: Any, instance_id: str) -> Machine:
        answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        script = base64.b64decode(answer["UserData"]["Value"])
        folder = self.folder / instance_id
        tools = folder / "bin"
        units = folder / "units"
        tools.mkdir(parents=True)
        units.mkdir()
        _write_tools(tools)
        (folder / "user-data.sh").write_bytes(script)
        environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            **self.environment,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{self._imds}/{instance_id}",
            "IRAAS_MACHINE_HOME": str(folder / "opt"),
            "IRAAS_MACHINE_LOG": str(folder / "log"),
            "IRAAS_MACHINE_UNITS": str(units),
            "IRAAS_MACHINE_PAUSES": "0 0",
            "MACHINE": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        with (folder / "console").open("wb") as console:
            process = subprocess.Popen(
                ["bash", str(folder / "user-data.sh")],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Machine(instance_id, folder, process)


def _write_tools(folder: Path) -> None:
    python = sys.executable
    iraas = _IRAAS.format(python=python)
    tools = {
        "shutdown": _SHUTDOWN,
        "runuser": _RUNUSER,
        "python3.11": _PYTHON.format(python=python, pip=_PIP.format(python=python), iraas=iraas),
        "aws": _AWS.format(python=python),
        "systemctl": _SYSTEMCTL.format(python=python),
    } | dict.fromkeys(("useradd", "dnf", "cloud-init"), _QUIET)
    for name, text in tools.items():
        path = folder / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


class _Imds(BaseHTTPRequestHandler):
    """The metadata service of all machines: the path begins with the instance's id."""

    spot_notices: Mapping[str, str] = {}

    def do_PUT(self) -> None:
        self._say(200, "token")

    def do_GET(self) -> None:
        match = re.fullmatch("/(i-[0-9a-f]+)/latest/meta-data/(.*)", self.path)
        if match and match[2] == "instance-id":
            self._say(200, match[1])
        elif match and match[2] == "spot/instance-action" and match[1] in self.spot_notices:
            self._say(200, self.spot_notices[match[1]])
        else:
            self._say(404, "")

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


@contextmanager
def booting(
    endpoint: str,
    folder: Path,
    environment: Mapping[str, str],
    spot_notices: Mapping[str, str] | None = None,
) -> Iterator[BootShim]:
    """Boot an emulator's running instances until the block ends; then end all machines.

    Args:
        endpoint: The emulator's URL.
        folder: Where the machines' files go.
        environment: What the machines' processes get, beside their own: credentials, a home;
            perhaps another way to the emulator.
        spot_notices: What the metadata service says of Spot interruptions, by instance id; it may
            be changed while the block runs.
    """
    shim = BootShim(endpoint, folder, environment)
    handler = type("Imds", (_Imds,), {"spot_notices": {} if spot_notices is None else spot_notices})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        watching = threading.Thread(target=shim.watch)
        shim._imds = f"http://127.0.0.1:{server.server_address[1]}"
        serving.start()
        watching.start()
        try:
            yield shim
        finally:
            shim.stop()
            watching.join()
            server.shutdown()
            serving.join()
    if shim.errors:
        raise shim.errors[0]
