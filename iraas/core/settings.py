"""The settings and their parsers.

A settings file in the working directory is untrusted (a cloned repository, an unpacked archive). So
a setting is `trusted_only` by default: such a file cannot set it (ADR 0189).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from iraas.core.ids import is_plain_name
from iraas.core.keys import MAX_ATTEMPTS

BackendName = Literal["local", "aws"]
Pricing = Literal["spot", "on-demand"]
ENVIRONMENT_PREFIX = "IRAAS_"
PROJECT_FILE = "iraas.toml"
"""The settings file of a project, in the working directory."""
FLAG = "flag"
"""The source of a setting given on the command line."""
MAX_FLEET = 19
"""The maximum number of workers: twenty instances with the web tier's one."""
DEFAULT_MAX_PIXELS = 64_000_000
"""Largest image that is decoded, width times height; cameras of 61 megapixels pass."""
DEFAULT_MAX_IMAGE_BYTES = 50_000_000
DEFAULT_IMAGE_CPU_S = 1.4
"""CPU seconds that decoding one image may take before its process is ended."""
MAX_DEPLOYMENT_CHARACTERS = 32
"""A bucket's name has at most 63, and more than the deployment in it."""
RENAMED: Mapping[str, str] = {
    "grace_s": "idle_timeout_s",
    "stall_s": "stall_timeout_s",
    "web_kind": "web_instance_type",
}
"""The present name of each setting by its former name, which is still understood."""


def _deployment(text: str) -> str:
    if not is_plain_name(text) or len(text) > MAX_DEPLOYMENT_CHARACTERS:
        raise ValueError("use lower-case letters, digits and inner hyphens, at most 32")
    return text


def _backend(text: str) -> BackendName:
    if text not in {"local", "aws"}:
        raise ValueError("it must be either local or aws")
    return cast("BackendName", text)


def _text(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("it is empty, or has a null character")
    return text


def _path(text: str) -> Path:
    try:
        return Path(_text(text)).expanduser().absolute()
    except RuntimeError as exc:
        raise ValueError("no such user") from exc


def _whole(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        expected = f"it must be a whole number in {minimum}..{maximum}"
        try:
            number = int(text.replace("_", ""))
        except ValueError as exc:
            raise ValueError(expected) from exc
        if not minimum <= number <= maximum:
            raise ValueError(expected)
        return number

    return parse


def _seconds(minimum: float, maximum: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        expected = f"it must be a number of seconds in {minimum:g}..{maximum:g}"
        try:
            number = float(text)
        except ValueError as exc:
            raise ValueError(expected) from exc
        if not minimum <= number <= maximum:
            raise ValueError(expected)
        return number

    return parse


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _range(text: str) -> str:
    if text == "none":
        return ""
    try:
        return str(IPv4Network(text))
    except ValueError as exc:
        raise ValueError("it must be an IPv4 range such as 203.0.113.0/24, or none") from exc


def _site(text: str) -> str:
    """Normalize a site's address to a web origin."""
    parts = urlsplit(text.strip().rstrip("/").lower())
    name, port = parts.hostname, parts.port
    rest = (parts.path, parts.query, parts.fragment, parts.username, parts.password)
    if parts.scheme not in {"http", "https"} or not name or any(rest):
        raise ValueError("it must be like https://photos.example.com, with nothing after the host")
    host = f"[{name}]" if ":" in name else name
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != usual else "")


def _pricings(text: str) -> tuple[Pricing, ...]:
    names = _names(text)
    if not names or not set(names) <= {"spot", "on-demand"}:
        raise ValueError("it must be spot, on-demand, or both in the order in which they are tried")
    return cast("tuple[Pricing, ...]", names)


def _setting(
    parse: Callable[[str], object],
    default: object,
    text: str,
    *,
    secret: bool = False,
    trusted_only: bool = True,
) -> Any:
    metadata = {"parse": parse, "help": text, "secret": secret, "trusted_only": trusted_only}
    return field(default=default, metadata=metadata)


def _project_setting(parse: Callable[[str], object], default: object, text: str) -> Any:
    """Declare a setting that an untrusted file in the working directory may set."""
    return _setting(parse, default, text, trusted_only=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a command. Each field can be set by ``IRAAS_<FIELD>`` and in a settings file.

    The metadata of a field: `parse`, `help`, `secret` (never shown, written or passed on) and
    `trusted_only` (true if absent: an untrusted settings file cannot set it).
    """

    home: Path = field(metadata={"parse": _path, "help": "Where the local backend keeps its data."})
    cache: Path = field(metadata={"parse": _path, "help": "Where model bundles are kept."})
    deployment: str = _project_setting(_deployment, "iraas", "The deployment to work with.")
    backend: BackendName = _setting(_backend, "local", "Where it runs: local or aws.")
    model: str = _setting(
        _text, "efficientnet-lite0", "A model's name, or the folder of a model bundle."
    )
    max_workers: int | None = _project_setting(
        _whole(1, MAX_FLEET), None, "Workers at most; by default 19, and locally one a core."
    )
    images_per_worker: int = _project_setting(
        _whole(1, 10**6), 1, "Images that justify one more worker."
    )
    processes: int | None = _setting(
        _whole(1, 256), None, "Classifier processes of one worker; by default one a core."
    )
    lease_s: float = _project_setting(
        _seconds(1, 3600), 30.0, "How long a received image is hidden from other workers."
    )
    idle_timeout_s: float = _setting(
        _seconds(0, 3600), 10.0, "How long a worker stays idle before it exits."
    )
    poll_s: float | None = _setting(
        _seconds(0, 20), None, "How long one receive waits; by default 1 s, and on aws 20 s."
    )
    stall_timeout_s: float = _setting(
        _seconds(1, 3600), 60.0, "How long one image may take before its process is ended."
    )
    image_cpu_s: float = _setting(
        _seconds(0.1, 600), DEFAULT_IMAGE_CPU_S, "CPU seconds that decoding one image may take."
    )
    max_attempts: int = _project_setting(
        _whole(1, MAX_ATTEMPTS), 3, "How often an image may crash its process when tried alone."
    )
    max_image_bytes: int = _setting(
        _whole(1, 10**9), DEFAULT_MAX_IMAGE_BYTES, "The largest file that is accepted, in bytes."
    )
    max_pixels: int = _setting(
        _whole(1, 10**9), DEFAULT_MAX_PIXELS, "The largest image that is decoded, in pixels."
    )
    min_free_bytes: int | None = _setting(
        _whole(0, 10**15),
        None,
        "Free bytes on the local disk that images must leave; by default 1 GB, or 2% of the disk.",
    )
    max_stored_bytes: int | None = _setting(
        _whole(0, 10**15),
        None,
        "The quota for stored images in bytes, 0 for none; by default 20 GB for the web tier, and "
        "none for the command line.",
    )
    token: str | None = _setting(
        _text,
        None,
        "The token that clients of the web tier must send; required beyond loopback.",
        secret=True,
    )
    public_url: str | None = _setting(
        _site, None, "The web tier's address for people, through a TLS proxy of yours."
    )
    max_pending: int = _setting(
        _whole(1, 10**8), 20_000, "Pending images at which the web tier accepts no more."
    )
    webhook_hosts: tuple[str, ...] = _setting(
        _names, (), "Hosts (name or name:port) that webhooks may be sent to."
    )
    webhook_secret: str | None = _setting(
        _text, None, "The secret that signs webhooks; without it none are sent.", secret=True
    )
    region: str | None = _setting(
        _text, None, "The AWS region; by default the one that the AWS SDK is set to."
    )
    instance_types: tuple[str, ...] | None = _setting(
        _names, None, "EC2 instance types of the workers, in the order in which they are tried."
    )
    pricing: tuple[Pricing, ...] | None = _setting(
        _pricings, None, "How workers are paid for, in the order tried: spot, on-demand."
    )
    subnets: tuple[str, ...] | None = _setting(
        _names, None, "Subnets of the workers; by default those of the default VPC."
    )
    max_life_min: int | None = _setting(
        _whole(1, 10**5), None, "Minutes after which a worker's instance ends, whatever it does."
    )
    keep_data_days: int | None = _setting(
        _whole(1, 3650), None, "Days until images, outcomes and records on aws expire."
    )
    web_instance_type: str | None = _setting(_text, None, "The EC2 instance type of the web tier.")
    web_cidr: str | None = _setting(
        _range, None, "Who may reach the web tier's port on aws: an IPv4 range, or none."
    )
    prices: Path | None = _setting(_path, None, "A price table of your own, for estimates.")


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """The settings, with the source of each.

    Attributes:
        settings: The values.
        sources: For each field's name: ``flag``, ``environment IRAAS_…``, ``FILE [profile]`` or
            ``default``.
        ignored: The names in an untrusted file that it may not set.
        renamed: Each former name that is used, as the user wrote it, and the present one.
    """

    settings: Settings
    sources: Mapping[str, str]
    ignored: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One table of a settings file.

    Attributes:
        values: Strings and numbers, by field name.
        source: The display name of the file and the table.
        trusted: Whether the file is the user's own; otherwise it sets nothing that is
            `trusted_only`.
    """

    values: Mapping[str, object]
    source: str
    trusted: bool = True


def is_secret(name: str) -> bool:
    """Return whether a setting's value must not be shown, written or passed on."""
    return any(field.name == name and field.metadata.get("secret") for field in fields(Settings))


def option(name: str) -> str:
    """Return the name of a setting's option on the command line."""
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """Return the name of a setting's environment variable."""
    return ENVIRONMENT_PREFIX + name.upper()
