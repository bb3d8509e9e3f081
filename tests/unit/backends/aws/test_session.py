"""`AwsSession`: one client per service, created lazily, bounded, thread-safe."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from iraas.backends.aws.session import AwsSession, ClientLimits
from iraas.core.ports import MAX_BATCH
from iraas.errors import ConfigurationError, CredentialsError
from tests.waiting import PATIENCE_S


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


@pytest.fixture
def session() -> Iterator[AwsSession]:
    session = AwsSession("eu-west-1")
    yield session
    session.close()


def test_without_boto3_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['boto3'] = sys.modules['botocore'] = None\n"
        "from iraas.cli.app import main; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "status", "--backend", "aws", "--config", "none"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 4
    assert "the aws backend needs a package that cannot be imported: import of boto" in done.stderr
    assert "pip install '.[aws]'" in done.stderr


def test_without_a_region_it_says_how_to_set_one() -> None:
    with pytest.raises(ConfigurationError, match="region") as caught:
        _ = AwsSession().sqs
    assert "--region" in caught.value.remedy


def test_the_region_comes_from_the_sdk_s_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    session = AwsSession()
    assert session.region == "ap-south-1"
    assert session.sqs.meta.region_name == "ap-south-1"
    session.close()


def test_an_invalid_region_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="region"):
        _ = AwsSession("not a region!").s3


def test_a_profile_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialsError, match="nobody") as caught:
        _ = AwsSession("eu-west-1").sqs
    assert "AWS_PROFILE" in caught.value.remedy


def test_without_credentials_it_says_how_to_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    session = AwsSession("eu-west-1")
    with pytest.raises(CredentialsError, match="no AWS credentials") as caught:
        session.account()
    session.close()
    assert "aws configure" in caught.value.remedy


def test_the_endpoint_comes_from_the_sdk_s_own_variable(
    session: AwsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert session.sqs.meta.endpoint_url == "http://127.0.0.1:9"
    assert session.s3.meta.endpoint_url == "http://127.0.0.1:9"


def test_a_client_is_made_once_however_many_ask_at_once(session: AwsSession) -> None:
    found: list[object] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        found.append(session.s3)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in found}) == 1


def test_a_poll_is_shorter_than_the_read_timeout(session: AwsSession) -> None:
    for client in (session.sqs, session.s3):
        config: Any = client.meta.config
        assert config.read_timeout > 20
        assert config.connect_timeout <= 10
        assert config.retries == {"mode": "standard", "total_max_attempts": 5}
        assert config.max_pool_connections >= ClientLimits().connections


def test_the_user_agent_names_iraas(session: AwsSession) -> None:
    for client in (session.sqs, session.client("ec2")):
        config: Any = client.meta.config
        assert "iraas/" in f"{config.user_agent} {config.user_agent_extra}"


def test_run_all_keeps_the_order_and_works_side_by_side(session: AwsSession) -> None:
    together = threading.Barrier(4)

    def act(number: int) -> int:
        together.wait(PATIENCE_S)
        return number * 2

    assert session.map_concurrently(act, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert session.map_concurrently(str, []) == []
    assert session.map_concurrently(str, [7]) == ["7"]


def test_run_all_waits_for_all_before_it_raises(session: AwsSession) -> None:
    ended: list[int] = []
    first_failed = threading.Event()

    def act(number: int) -> None:
        if number == 0:
            first_failed.set()
            raise ValueError("number 0")
        first_failed.wait()
        ended.append(number)

    with pytest.raises(ValueError, match="number 0"):
        session.map_concurrently(act, list(range(MAX_BATCH)))
    assert sorted(ended) == list(range(1, MAX_BATCH))


def test_close_ends_the_threads_and_may_be_repeated(session: AwsSession) -> None:
    session.map_concurrently(time.sleep, [0, 0, 0])
    session.close()
    session.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("iraas-aws")]
    assert session.map_concurrently(str, [1, 2]) == ["1", "2"]
