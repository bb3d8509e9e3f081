"""EC2 user data: `app_tier.sh` with a deployment's values."""

import re
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import iraas

MAX_USER_DATA_BYTES = 16_384
"""Limit before base64 (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html)."""

SCRIPT = "app_tier.sh"
MachineRole = Literal["worker", "web", "bake"]
EXTRAS: dict[MachineRole, str] = {
    "worker": "worker,aws",
    "web": "web,aws",
    "bake": "worker,aws,web",
}

_PLACEHOLDER = re.compile(r"@([A-Z0-9_]+)@")
_SAFE_VALUE = re.compile(r"[A-Za-z0-9 ,._/=:+-]*")


@dataclass(frozen=True, slots=True)
class UserData:
    """Values of the startup script. Not secret: any process on the instance can read them.

    Attributes:
        role: The machine's role.
        deployment: The deployment's name.
        region: Its region.
        bucket: The bucket of the install files and the records.
        wheel_key: The wheel's key in it.
        wheel_sha256: The wheel's hash, in hexadecimal.
        bundle_key: Key of the model bundle's archive.
        bundle_sha256: Its hash.
        max_life_min: Minutes until the machine shuts down in any case; at least 1.
        web_open: ``yes`` if the web tier listens beyond loopback, with a token that it generates.
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
        """Render the script.

        Raises:
            ValueError: A value has characters with a meaning in a shell, or the script is too long.
        """
        if self.max_life_min < 1:
            raise ValueError("max_life_min must be at least 1")
        values = {name.upper(): str(value) for name, value in asdict(self).items()}
        values["EXTRAS"] = EXTRAS[self.role]
        for name, value in values.items():
            if _SAFE_VALUE.fullmatch(value) is None:
                raise ValueError(f"{name.lower()} {value!r} is not allowed in user data")
        script = _PLACEHOLDER.sub(lambda match: values[match[1]], read_script())
        if len(script.encode()) > MAX_USER_DATA_BYTES:
            raise ValueError(f"user data has at most {MAX_USER_DATA_BYTES} bytes")
        return script


def read_script() -> str:
    """Read the script template: from the package, or from the top of a checkout."""
    packaged = files("iraas.backends.aws").joinpath(SCRIPT)
    if packaged.is_file():
        return packaged.read_text("utf-8")
    return (Path(iraas.__file__).parents[1] / SCRIPT).read_text("utf-8")
