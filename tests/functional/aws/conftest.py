"""Fixtures of the tests of the aws backend: an endpoint, and a fresh deployment for each test.

The endpoint is the moto server of the test process or, if set, ``IRAAS_TEST_AWS_ENDPOINT``.
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from iraas.backends.aws.backend import AwsBackend
from iraas.backends.aws.provisioning.packaging import pack_wheel
from iraas.backends.aws.session import AwsSession
from tests.functional.aws.deployments import (
    ENVIRONMENT,
    IMPATIENT,
    Deployment,
    fresh_deployment,
    fresh_session,
    sdk_data_read_once,
)
from tests.functional.aws.faults import FaultProxy, fault_proxy
from tests.functional.aws.moto_server import MotoServer

INSTALL_FILES = "iraas.backends.aws.provisioning.install_files"


@pytest.fixture(scope="session", autouse=True)
def _made_once() -> Iterator[None]:
    """Cache what each backend would otherwise read or pack again."""
    with sdk_data_read_once(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{INSTALL_FILES}.pack_wheel", cache(pack_wheel))
        yield


@pytest.fixture(autouse=True)
def _aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def session(aws_endpoint: str) -> Iterator[AwsSession]:
    with fresh_session(aws_endpoint) as session:
        yield session


@pytest.fixture
def deployment(session: AwsSession) -> Deployment:
    return fresh_deployment(session)


@pytest.fixture
def proxy(aws_endpoint: str) -> Iterator[FaultProxy]:
    with fault_proxy(aws_endpoint) as proxy:
        yield proxy


@pytest.fixture
def shaky(
    deployment: Deployment, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    """The same deployment behind a proxy that can fail; the SDK's backoff is cut to 10 ms.

    botocore has no setting for its backoff, so the clock that it waits by is replaced.
    """
    hurried = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.01)))
    monkeypatch.setattr("botocore.endpoint.time", hurried)
    with fresh_session(proxy.url, IMPATIENT) as session:
        yield deployment.seen_through(session)


@pytest.fixture
def endpoint(moto: MotoServer) -> str:
    """The emulator with an empty account."""
    moto.reset()
    return moto.url


@pytest.fixture
def open_backend(endpoint: str, tmp_path: Path) -> Iterator[Callable[..., AwsBackend]]:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text("{}")
    opened = []

    def open_one(deployment: str = "demo", **more: Any) -> AwsBackend:
        given: dict[str, Any] = {
            "endpoint_url": endpoint,
            "bundle": lambda: bundle,
            "sleep": lambda _: None,
        }
        backend = AwsBackend(deployment, "us-east-1", **(given | more))
        opened.append(backend)
        return backend

    yield open_one
    for backend in opened:
        backend.close()


@pytest.fixture
def backend(open_backend: Callable[..., AwsBackend]) -> AwsBackend:
    return open_backend()
