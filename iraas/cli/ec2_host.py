"""A worker's own machine, when it is an instance of the fleet: who it is, its notice, its end."""

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
        """Its id.

        Raises:
            BackendUnavailableError: This is no instance, or it cannot be asked.
        """
        return self._metadata.instance_id()

    def watch(self) -> None:
        """Look for the notice of a Spot interruption, in the background, until the process ends."""
        threading.Thread(
            target=watch_spot_notice,
            args=(self._metadata, self._note, threading.Event()),
            name="spot notice",
            daemon=True,
        ).start()

    def interrupted(self) -> str:
        """Why it will be taken away soon; empty if nobody said so."""
        return self._notice

    def end(self) -> None:
        """Shut it down. It terminates, for it was launched so; no permission of AWS is needed."""
        done = subprocess.run(
            ["shutdown", "-h", "now"],  # noqa: S607 - of this system, wherever it keeps it
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.stderr.write(f"the machine cannot be shut down from here: {done.stderr.strip()}\n")

    def _note(self, notice: SpotNotice) -> None:
        self._notice = f"a Spot interruption was announced ({notice.action} at {notice.at})"
