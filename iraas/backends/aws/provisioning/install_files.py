"""What instances fetch: the wheel, the model bundle, and the deployment's options."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from iraas.backends.aws.errors import BUCKET_MISSING_CODES, code_of, translating
from iraas.backends.aws.fleet.config import OPTIONS_KEY
from iraas.backends.aws.names import INSTALL_PREFIX
from iraas.backends.aws.provisioning.emptying import empty
from iraas.backends.aws.provisioning.packaging import pack_bundle, pack_wheel
from iraas.backends.aws.provisioning.resource import (
    ABSENT,
    Found,
    ManagedResource,
    ProvisioningContext,
)
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
    """The install files in the bucket of the output store.

    Attributes:
        site: Where it is.
        artifacts: What instances install.
        bucket: The bucket; what is in it is ours if it is.
    """

    site: ProvisioningContext
    artifacts: Artifacts
    bucket: ManagedResource
    kind: str = "install files"

    @property
    def name(self) -> str:
        """Where they lie."""
        return f"{self.site.outputs_bucket}/{INSTALL_PREFIX}"

    @property
    def _s3(self) -> Any:
        return self.site.session.client("s3")

    @property
    def _mine(self) -> dict[str, str]:
        return {"Bucket": self.site.outputs_bucket, "ExpectedBucketOwner": self.site.account}

    def find(self) -> Found:
        """Look whether anything is there. The options are written last."""
        if self.bucket.find().state != "ours":
            return ABSENT
        keys = self._keys()
        if not keys:
            return ABSENT
        whole = f"{INSTALL_PREFIX}{OPTIONS_KEY}" in keys
        return Found("ours", "wheel, model bundle, options" if whole else "without options")

    def make(self) -> None:
        """Upload what is not there, and write the options anew. Idempotent."""
        there = self._keys()
        with translating("s3", self.name):
            for one in (self.artifacts.wheel, self.artifacts.bundle):
                if one.key not in there:
                    self.site.report(f"uploading {one.key} ({len(one.data) / 1e6:.1f} MB)")
                    self._put(one.key, one.data)
            self._put(f"{INSTALL_PREFIX}{OPTIONS_KEY}", self.site.options.encode())

    def tidy(self) -> None:
        """Remove what an earlier version of the deployment installed. Idempotent.

        For when no instance lives that may still fetch it.
        """
        kept = {self.artifacts.wheel.key, self.artifacts.bundle.key}
        kept.add(f"{INSTALL_PREFIX}{OPTIONS_KEY}")
        for prefix in sorted({key.rpartition("/")[0] for key in self._keys() - kept}):
            if not any(key.startswith(f"{prefix}/") for key in kept):
                self.site.report(f"removing {prefix}/, which a later version took the place of")
                with translating("s3", self.name):
                    empty(self.site, self.site.outputs_bucket, f"{prefix}/")

    def remove(self) -> None:
        """Remove them: instances install nothing without them. Idempotent."""
        if self.bucket.find().state != "ours":
            return
        with translating("s3", self.name):
            try:
                empty(self.site, self.site.outputs_bucket, INSTALL_PREFIX)
            except Exception as exc:
                if code_of(exc) not in BUCKET_MISSING_CODES:
                    raise

    def _keys(self) -> set[str]:
        """The keys there; more than a page of them are none that we made."""
        with translating("s3", self.name):
            try:
                page = self._s3.list_objects_v2(**self._mine, Prefix=INSTALL_PREFIX)
            except Exception as exc:
                if code_of(exc) not in BUCKET_MISSING_CODES:
                    raise
                return set()
        return {one["Key"] for one in page.get("Contents", ())}

    def _put(self, key: str, data: bytes) -> None:
        self.site.settling(
            lambda: self._s3.put_object(**self._mine, Key=key, Body=data),
            BUCKET_MISSING_CODES,
        )
