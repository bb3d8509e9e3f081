"""User data: `app_tier.sh` with a deployment's values filled in."""

import re
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import iraas

MAX_USER_DATA_BYTES = 16_384
"""Before base64 (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html)."""

SCRIPT = "app_tier.sh"
MachineRole = Literal["worker", "web", "bake"]
EXTRAS: dict[MachineRole, str] = {
    "worker": "worker,aws",
    "web": "web,aws",
    "bake": "worker,aws,web",
}

_HOLE = re.compile(r"@([A-Z0-9_]+)@")
_HARMLESS = re.compile(r"[A-Za-z0-9 ,._/=:+-]*")


@dataclass(frozen=True, slots=True)
class UserData:
    """What an instance is told at its start. None of it is secret: any process there can read it.

    Attributes:
        role: What the machine is for.
        deployment: The deployment's name.
        region: Its region.
        bucket: The bucket that holds the install files and the records.
        wheel_key: Where the wheel lies in it.
        wheel_sha256: The wheel's hash, in hexadecimal.
        bundle_key: Where the model bundle's archive lies in it.
        bundle_sha256: Its hash.
        max_life_min: Minutes after which the machine ends, whatever it does; at least 1.
        web_open: ``yes`` if the web tier listens beyond loopback, with a token of its own making.
    """

    role: MachineRole
    deployment: str
    region: str
    bucket: str
    wheel_key: str
    wheel_sha256: str
    bundle_key: str
    bundle_sha256: str
    max_life_min: int
    web_open: str = ""

    def render(self) -> str:
        """The script.

        Raises:
            ValueError: A value has characters that a shell might obey, or the whole is too long.
        """
        if self.max_life_min < 1:
            raise ValueError("a machine lives a minute at least")
        values = {name.upper(): str(value) for name, value in asdict(self).items()}
        values["EXTRAS"] = EXTRAS[self.role]
        for name, value in values.items():
            if _HARMLESS.fullmatch(value) is None:
                raise ValueError(f"{name.lower()} {value!r} cannot stand in user data")
        script = _HOLE.sub(lambda hole: values[hole[1]], read_script())
        if len(script.encode()) > MAX_USER_DATA_BYTES:
            raise ValueError(f"user data has at most {MAX_USER_DATA_BYTES} bytes")
        return script


def read_script() -> str:
    """The script with its holes: packaged beside this module, or at the top of a checkout."""
    packaged = files("iraas.backends.aws").joinpath(SCRIPT)
    if packaged.is_file():
        return packaged.read_text("utf-8")
    return (Path(iraas.__file__).parents[1] / SCRIPT).read_text("utf-8")
