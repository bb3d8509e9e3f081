"""The EC2 instance that a worker runs on: its id, its Spot notice, its shutdown."""

import os
import subprocess
import sys
import threading

from iraas.backends.aws.fleet.instance_metadata import (
    InstanceMetadata,
    SpotNotice,
    metadata_endpoint,
    watch_spot_notice,
)


class Ec2Host:
    """The EC2 instance that this process runs on."""

    def __init__(self) -> None:
        self._metadata = InstanceMetadata(metadata_endpoint(os.environ))
        self._notice = ""

    def instance_id(self) -> str:
        """The instance's id.

        Raises:
            BackendUnavailableError: This is not an instance, or its metadata cannot be read.
        """
        return self._metadata.instance_id()

    def watch(self) -> None:
        """Watch for the notice of a Spot interruption in a daemon thread."""
        threading.Thread(
            target=watch_spot_notice,
            args=(self._metadata, self._note, threading.Event()),
            name="spot notice",
            daemon=True,
        ).start()

    def interrupted(self) -> str:
        """The reason why the instance will soon be interrupted; empty without a notice."""
        return self._notice

    def end(self) -> None:
        """Shut the instance down, which terminates it. Needs no permission of AWS."""
        done = subprocess.run(
            ["shutdown", "-h", "now"],  # noqa: S607 - systems keep it in different folders
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.stderr.write(f"the machine cannot be shut down from here: {done.stderr.strip()}\n")

    def _note(self, notice: SpotNotice) -> None:
        self._notice = f"a Spot interruption was announced ({notice.action} at {notice.at})"
