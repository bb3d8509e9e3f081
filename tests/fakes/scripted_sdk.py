"""An AWS session whose clients return scripted answers and record their calls."""

from dataclasses import replace
from typing import Any, cast

from botocore.exceptions import ClientError

from iraas.backends.aws.fleet.config import FleetConfig
from iraas.backends.aws.names import Names
from iraas.backends.aws.provisioning.resource import ProvisioningContext
from iraas.backends.aws.session import AwsSession

ACCOUNT = "123456789012"


def error(code: str, operation: str = "Call", status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


class Client:
    """Returns its scripted answers in order, repeats the last one, and records the calls."""

    def __init__(self, calls: list[tuple[str, dict[str, Any]]], **answers: Any) -> None:
        self._calls = calls
        self._answers = {name: list(given) for name, given in answers.items()}

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            self._calls.append((name, request))
            answers = self._answers.get(name, [{}])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


class Session:
    """A session of such clients."""

    uses_tls = True

    def __init__(self, region: str = "eu-west-1", **answers: Any) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.region = region
        self._client = Client(self.calls, **answers)

    def account(self) -> str:
        return ACCOUNT

    def client(self, _: str) -> Any:
        return self._client

    @property
    def sqs(self) -> Any:
        return self._client

    def asked(self, name: str) -> list[dict[str, Any]]:
        return [request for called, request in self.calls if called == name]


def context_of(session: Session, **more: Any) -> ProvisioningContext:
    now = [0.0]
    context = ProvisioningContext(
        cast("AwsSession", session),
        Names("demo"),
        FleetConfig(subnet_ids=("subnet-a",)),
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
        clock=lambda: now[0],
    )
    return replace(context, **more)


def subnet(subnet_id: str, zone: str, vpc: str = "vpc-1", free: int = 100) -> dict[str, Any]:
    return {
        "SubnetId": subnet_id,
        "VpcId": vpc,
        "AvailabilityZone": zone,
        "AvailableIpAddressCount": free,
        "MapPublicIpOnLaunch": True,
    }
