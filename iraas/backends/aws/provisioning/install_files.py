"""Files that instances download: the wheel, the model bundle and the fleet configuration."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from iraas.backends.aws.errors import BUCKET_MISSING_CODES, error_code, translate_errors
from iraas.backends.aws.fleet.config import CONFIG_KEY
from iraas.backends.aws.names import INSTALL_PREFIX
from iraas.backends.aws.provisioning.emptying import delete_objects
from iraas.backends.aws.provisioning.packaging import pack_bundle, pack_wheel
from iraas.backends.aws.provisioning.resource import (
    ABSENT,
    ManagedResource,
    ProvisioningContext,
    ResourceStatus,
)
from iraas.errors import ConfigurationError

_BUNDLE_FILE = "bundle.tar.gz"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file to install.

    Attributes:
        key: Its key in the bucket, which contains its hash.
        sha256: Its hash, in hexadecimal.
        data: Its content.
    """

    key: str
    sha256: str
    data: bytes = field(repr=False)


def artifact(name: str, data: bytes) -> Artifact:
    """Name a file after its content."""
    digest = hashlib.sha256(data).hexdigest()
    return Artifact(f"{INSTALL_PREFIX}{digest[:16]}/{name}", digest, data)


class Artifacts:
    """The wheel and the model bundle, packed on first use."""

    def __init__(self, bundle: Callable[[], Path] | None) -> None:
        """Create the object without packing anything.

        Args:
            bundle: Returns the model bundle's folder; None if there is no bundle.
        """
        self._bundle = bundle

    @cached_property
    def wheel(self) -> Artifact:
        """The wheel of this iraas."""
        return artifact(*pack_wheel())

    @cached_property
    def bundle(self) -> Artifact:
        """The model bundle.

        Raises:
            ConfigurationError: There is no bundle.
        """
        if self._bundle is None:
            raise ConfigurationError("no model bundle was given for the instances")
        return artifact(_BUNDLE_FILE, pack_bundle(self._bundle()))


@dataclass(frozen=True, slots=True)
class InstallFilesResource:
    """The install files in the output store's bucket.

    Attributes:
        context: The provisioning context.
        artifacts: The files to install.
        bucket: The bucket; the files are managed if it is.
    """

    context: ProvisioningContext
    artifacts: Artifacts
    bucket: ManagedResource
    kind: str = "install files"

    @property
    def name(self) -> str:
        """Their location."""
        return f"{self.context.outputs_bucket}/{INSTALL_PREFIX}"

    @property
    def _bucket_args(self) -> dict[str, str]:
        return {"Bucket": self.context.outputs_bucket, "ExpectedBucketOwner": self.context.account}

    def find(self) -> ResourceStatus:
        """Look them up. The configuration is written last."""
        if self.bucket.find().state != "managed":
            return ABSENT
        keys = self._keys()
        if not keys:
            return ABSENT
        complete = f"{INSTALL_PREFIX}{CONFIG_KEY}" in keys
        return ResourceStatus(
            "managed", "wheel, model bundle, options" if complete else "without options"
        )

    def make(self) -> None:
        """Upload missing files, and write the configuration. Idempotent."""
        existing = self._keys()
        with translate_errors("s3", self.name):
            for file in (self.artifacts.wheel, self.artifacts.bundle):
                if file.key not in existing:
                    self.context.report(f"uploading {file.key} ({len(file.data) / 1e6:.1f} MB)")
                    self._put(file.key, file.data)
            self._put(f"{INSTALL_PREFIX}{CONFIG_KEY}", self.context.config.encode())

    def remove_superseded(self) -> None:
        """Remove files of earlier versions. Idempotent.

        Call it only while no instance exists that may still download them.
        """
        kept = {self.artifacts.wheel.key, self.artifacts.bundle.key}
        kept.add(f"{INSTALL_PREFIX}{CONFIG_KEY}")
        for prefix in sorted({key.rpartition("/")[0] for key in self._keys() - kept}):
            if not any(key.startswith(f"{prefix}/") for key in kept):
                self.context.report(f"removing {prefix}/, which a later version replaces")
                with translate_errors("s3", self.name):
                    delete_objects(self.context, self.context.outputs_bucket, f"{prefix}/")

    def remove(self) -> None:
        """Remove them, so that new instances cannot install anything. Idempotent."""
        if self.bucket.find().state != "managed":
            return
        with translate_errors("s3", self.name):
            try:
                delete_objects(self.context, self.context.outputs_bucket, INSTALL_PREFIX)
            except Exception as exc:
                if error_code(exc) not in BUCKET_MISSING_CODES:
                    raise

    def _keys(self) -> set[str]:
        """The existing keys. One page suffices: iraas never creates more."""
        with translate_errors("s3", self.name):
            try:
                page = self.context.s3.list_objects_v2(**self._bucket_args, Prefix=INSTALL_PREFIX)
            except Exception as exc:
                if error_code(exc) not in BUCKET_MISSING_CODES:
                    raise
                return set()
        return {item["Key"] for item in page.get("Contents", ())}

    def _put(self, key: str, data: bytes) -> None:
        self.context.retry_until_consistent(
            lambda: self.context.s3.put_object(**self._bucket_args, Key=key, Body=data),
            BUCKET_MISSING_CODES,
        )
