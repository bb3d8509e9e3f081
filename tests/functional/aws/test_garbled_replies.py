"""An intermediary answers instead of AWS: no call accepts that as an answer."""

from collections.abc import Callable

import pytest

from iraas.core.ports import OutboundMessage
from iraas.errors import BackendError, BackendUnavailableError
from tests.functional.aws.deployments import Deployment
from tests.functional.aws.faults import FaultProxy, garbage

CALLS: dict[str, Callable[[Deployment], object]] = {
    "GetQueueUrl": lambda it: it.requests.receive(1, lease_s=1),
    "GetQueueAttributes": lambda it: it.requests.depth(),
    "SendMessageBatch": lambda it: it.requests.send([OutboundMessage("a")]),
    "DeleteMessageBatch": lambda it: it.requests.delete(["x"]),
    "ChangeMessageVisibilityBatch": lambda it: it.requests.release(["x"]),
    "PutObject": lambda it: it.outputs.put_if_absent([("b", b"")]),
    "GetObject": lambda it: it.outputs.get("a"),
    "GET bucket": lambda it: list(it.outputs.list()),
    "DeleteObjects": lambda it: it.outputs.delete(["a"]),
    "Sts": lambda it: it.session.account(),
}


@pytest.mark.parametrize("operation", CALLS)
def test_a_garbled_reply_is_no_answer(
    shaky: Deployment, deployment: Deployment, proxy: FaultProxy, operation: str
) -> None:
    deployment.outputs.put("a", b"")
    proxy.plan(operation, *[garbage] * 100)
    with pytest.raises(BackendUnavailableError):
        CALLS[operation](shaky)


def test_a_garbled_reply_does_not_grant_a_lease(shaky: Deployment, proxy: FaultProxy) -> None:
    proxy.plan_all(lambda operation: garbage if operation.endswith("Object") else None)
    with pytest.raises(BackendError):
        shaky.lease("first").hold()
