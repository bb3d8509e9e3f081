"""Disabling the telemetry of onnxruntime.

Its wheels for Linux and macOS (seen in 1.32) report each process to their vendor, and leave a
device id and a cache in the user's cache folder. The Python call that disables this comes too late:
the first report is sent by the import. Only the variable below, set before, disables all of it
(https://github.com/microsoft/onnxruntime/pull/27379).
"""

import os
from typing import Any

TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"


def import_onnxruntime() -> Any:
    """Import onnxruntime with its telemetry off. Idempotent; iraas imports it in no other way.

    Raises:
        ImportError: It is not installed.
    """
    os.environ[TELEMETRY_OFF] = "1"
    import onnxruntime  # noqa: PLC0415 - after the variable is set

    return onnxruntime
