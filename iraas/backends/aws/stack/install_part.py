"""What instances fetch: the wheel, the model bundle, and the deployment's options."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from iraas.backends.aws import error_codes
from iraas.backends.aws.fleet_options import OPTIONS_KEY
from iraas.backends.aws.names import INSTALL_PREFIX
from iraas.backends.aws.stack.packing import pack_bundle, pack_wheel
from iraas.backends.aws.stack.parts import ABSENT, Found, Site
from iraas.backends.aws.translation import code_of, translating
from iraas.errors import ConfigurationError

_BUNDLE_FILE = "bundle.tar.gz"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file to install.

    Attributes:
        key: Where it lies in the bucket; its hash is in it.
        sha256: Its hash, in hexadecimal.
        data: Its bytes.
    """

    key: str
    sha256: str
    data: bytes = field(repr=False)


def artifact(name: str, data: bytes) -> Artifact:
    """Name a file by what is in it."""
    digest = hashlib.sha256(data).hexdigest()
    return Artifact(f"{INSTALL_PREFIX}{digest[:16]}/{name}", digest, data)


class Artifacts:
    """The wheel and the bundle, packed when they are first needed."""

    def __init__(self, bundle: Callable[[], Path] | None) -> None:
        """Say how to find the model bundle's folder; None if this command has none to give."""
        self._bundle = bundle

    @cached_property
    def wheel(self) -> Artifact:
        """The wheel of this iraas."""
        return artifact(*pack_wheel())

    @cached_property
    def bundle(self) -> Artifact:
        """The model bundle.

        Raises:
            ConfigurationError: This command has none to give.
        """
        if self._bundle is None:
            raise ConfigurationError("no model bundle was given to provide to the instances")
        return artifact(_BUNDLE_FILE, pack_bundle(self._bundle()))


@dataclass(frozen=True, slots=True)
class InstallPart:
    """The install files in the bucket of the output store. They go away with it."""

    site: Site
    artifacts: Artifacts
    kind: str = "install files"

    @property
    def name(self) -> str:
        """Where they lie."""
        return f"{self.site.outputs_bucket}/{INSTALL_PREFIX}"

    @property
    def _s3(self) -> Any:
        return self.site.session.client("s3")

    def find(self) -> Found:
        """Look whether the options are there; they are written last."""
        with translating("s3", self.name):
            key = f"{INSTALL_PREFIX}{OPTIONS_KEY}"
            if not self._is_there(key):
                return ABSENT
        return Found("ours", "the wheel, the model bundle, the options")

    def make(self) -> None:
        """Upload what is not there, and write the options anew. Idempotent."""
        with translating("s3", self.name):
            for one in (self.artifacts.wheel, self.artifacts.bundle):
                if not self._is_there(one.key):
                    self.site.report(f"uploading {one.key} ({len(one.data) / 1e6:.1f} MB)")
                    self._put(one.key, one.data)
            self._put(f"{INSTALL_PREFIX}{OPTIONS_KEY}", self.site.options.encode())

    def remove(self) -> None:
        """Remove the options: what instances install is of no use without them. Idempotent."""
        with translating("s3", self.name):
            try:
                self._s3.delete_object(
                    Bucket=self.site.outputs_bucket, Key=f"{INSTALL_PREFIX}{OPTIONS_KEY}"
                )
            except Exception as exc:
                if code_of(exc) not in error_codes.BUCKET_MISSING:
                    raise

    def _is_there(self, key: str) -> bool:
        try:
            self._s3.head_object(Bucket=self.site.outputs_bucket, Key=key)
        except Exception as exc:
            if code_of(exc) not in error_codes.OBJECT_MISSING | error_codes.BUCKET_MISSING:
                raise
            return False
        return True

    def _put(self, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket=self.site.outputs_bucket, Key=key, Body=data)
