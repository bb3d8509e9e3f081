"""Instance types that are missing in the price table, where costs depend on it."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from iraas.backends.aws.backend import AwsBackend
from iraas.backends.aws.fleet.config import CONFIG_KEY, FleetConfig
from iraas.backends.aws.names import INSTALL_PREFIX
from iraas.backends.aws.storage.s3_store import S3Store
from iraas.bootstrap import open_aws
from iraas.cli.budget import check_spend_limit
from iraas.core.settings import Settings
from iraas.errors import ConfigurationError
from tests.functional.aws.deployments import ENVIRONMENT

SHIPPED = json.loads(files("iraas.backends.aws.pricing").joinpath("prices.json").read_text("utf-8"))


@pytest.fixture
def settings(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    return Settings(
        home=tmp_path / "home",
        cache=tmp_path / "cache",
        backend="aws",
        region="us-east-1",
        deployment="unpriced",
    )


@pytest.fixture
def own_prices(tmp_path: Path) -> Path:
    prices = SHIPPED["on_demand_hour"]["us-east-1"] | {"x9.huge": 9.0}
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(SHIPPED | {"on_demand_hour": {"us-east-1": prices}}))
    return path


def keep(options: FleetConfig) -> None:
    """Store the options of a deployment, as provisioning does."""
    backend = AwsBackend("unpriced", "us-east-1")
    bucket = backend.names.outputs_bucket(backend.session.account(), "us-east-1")
    backend.session.s3.create_bucket(Bucket=bucket)
    S3Store(backend.session, lambda: bucket, INSTALL_PREFIX).put(CONFIG_KEY, options.encode())
    backend.close()


def test_provisioning_refuses_a_type_without_a_price_unless_a_table_names_it(
    settings: Settings, own_prices: Path
) -> None:
    odd = replace(settings, instance_types=("c6a.large", "x9.huge"))
    with (
        pytest.raises(ConfigurationError, match=r"x9\.huge has no price"),
        open_aws(odd, to_provision=True),
    ):
        pass
    with open_aws(replace(odd, prices=own_prices), to_provision=True) as backend:
        assert backend.provisioning.fleet_config().instance_types == ("c6a.large", "x9.huge")
    with open_aws(settings, to_provision=True) as backend:
        assert backend.provisioning.fleet_config() == FleetConfig()


def test_a_limit_on_spending_is_refused_while_a_type_has_no_price(
    settings: Settings, own_prices: Path
) -> None:
    keep(FleetConfig(instance_types=("c6a.large", "x9.huge")))
    with pytest.raises(ConfigurationError, match=r"--max-spend cannot be enforced: x9\.huge"):
        check_spend_limit(settings, 5.0)
    check_spend_limit(settings, None)
    check_spend_limit(replace(settings, prices=own_prices), 5.0)
    check_spend_limit(replace(settings, backend="local"), 5.0)
