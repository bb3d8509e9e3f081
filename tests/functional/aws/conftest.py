"""What the tests of the aws backend share: an endpoint, and a fresh deployment for each test.

The endpoint is a moto server of each test process's own, or, if set, ``IRAAS_TEST_AWS_ENDPOINT``.
"""

import os
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from iraas.backends.aws.session import AwsSession
from tests.functional.aws.deployments import (
    ENVIRONMENT,
    IMPATIENT,
    Deployment,
    emulator,
    fresh_deployment,
    fresh_session,
)
from tests.functional.aws.faults import FaultProxy, fault_proxy


@pytest.fixture(scope="session")
def aws_endpoint() -> Iterator[str]:
    with emulator() as url:
        yield url


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
