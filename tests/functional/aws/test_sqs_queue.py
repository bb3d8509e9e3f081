"""`SqsQueue` against an emulator: behaviour specific to SQS. The port has its own suite."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from iraas.backends.aws.queues.sqs_entries import MAX_BODY_BYTES
from iraas.backends.aws.queues.sqs_queue import SqsQueue
from iraas.backends.aws.session import AwsSession
from iraas.core.ports import OutboundMessage, QueueDepth
from iraas.errors import (
    BackendError,
    BackendUnavailableError,
    MessageTooLargeError,
    NotProvisionedError,
    QueueNotFoundError,
)
from tests.functional.aws.deployments import (
    HASTY,
    MAX_RECEIVES,
    QUICK,
    Deployment,
    fresh_session,
)
from tests.functional.aws.faults import (
    FaultProxy,
    answer,
    fail_entries,
    garbage,
    lose_reply,
    refuse,
)
from tests.waiting import join


def requests_of(session: AwsSession) -> list[tuple[str, dict[str, Any]]]:
    """Record the operations of the SQS client with their parameters."""
    sent: list[tuple[str, dict[str, Any]]] = []

    def record(request: Any, **_: object) -> None:
        target = request.headers["X-Amz-Target"]
        name = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        sent.append((name, json.loads(request.body)))

    session.sqs.meta.events.register("before-send.sqs", record)
    return sent


def bodies_in(queue: SqsQueue, lease_s: float = 60) -> list[str]:
    found: list[str] = []
    while batch := queue.receive(10, lease_s=lease_s):
        found += [one.body for one in batch]
    return found


def test_each_message_of_many_batches_arrives_once(deployment: Deployment) -> None:
    bodies = [f"body {number}" for number in range(35)]
    deployment.requests.send([OutboundMessage(body) for body in bodies])
    assert sorted(bodies_in(deployment.requests)) == sorted(bodies)


def test_a_batch_is_packed_by_bytes_and_by_count(deployment: Deployment) -> None:
    sent = requests_of(deployment.session)
    sizes = [600_000, 600_000, *[100_000] * 4, *[1] * 12]
    deployment.requests.send([OutboundMessage("x" * size) for size in sizes])
    batches = [
        [len(entry["MessageBody"]) for entry in parameters["Entries"]]
        for name, parameters in sent
        if name == "SendMessageBatch"
    ]
    assert sorted(batches, key=len) == [[600_000], [1] * 7, [600_000, *[100_000] * 4, *[1] * 5]]


def test_the_longest_body_comes_back_whole_with_its_note(deployment: Deployment) -> None:
    body = "é" * (MAX_BODY_BYTES // 2)
    deployment.requests.send([OutboundMessage(body, group="g" * 200, note="é" * 1024)])
    (message,) = deployment.requests.receive(1, lease_s=60)
    assert message.body == body
    assert message.note == "é" * 1024


def test_a_body_over_the_limit_is_refused_before_anything_is_sent(deployment: Deployment) -> None:
    long = OutboundMessage("x" * (MAX_BODY_BYTES + 1))
    with pytest.raises(MessageTooLargeError, match="1,043,968"):
        deployment.requests.send([OutboundMessage("small"), long])
    assert deployment.requests.depth().total == 0


def test_group_delay_and_note_reach_the_wire_and_are_left_out_when_empty(
    deployment: Deployment,
) -> None:
    sent = requests_of(deployment.session)
    plain = OutboundMessage("a")
    full = OutboundMessage("b", group="job 1\n", delay_s=1.2, note="why\x00")
    deployment.requests.send([plain, full])
    _, parameters = next(one for one in sent if one[0] == "SendMessageBatch")
    assert parameters["Entries"] == [
        {"Id": "0", "MessageBody": "a"},
        {
            "Id": "1",
            "MessageBody": "b",
            "DelaySeconds": 2,
            "MessageGroupId": "job_1_",
            "MessageAttributes": {"note": {"DataType": "String", "StringValue": "why\ufffd"}},
        },
    ]


def test_a_receive_asks_for_the_lease_the_wait_and_the_receive_count(
    deployment: Deployment,
) -> None:
    sent = requests_of(deployment.session)
    deployment.requests.receive(7, lease_s=29.5, wait_s=0.2)
    _, parameters = next(one for one in sent if one[0] == "ReceiveMessage")
    url = parameters.pop("QueueUrl")
    assert url.endswith(deployment.names.requests)
    assert parameters == {
        "MaxNumberOfMessages": 7,
        "VisibilityTimeout": 30,
        "WaitTimeSeconds": 1,
        "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
        "MessageAttributeNames": ["note"],
    }


def test_the_url_is_looked_up_once(deployment: Deployment) -> None:
    sent = requests_of(deployment.session)
    queue = deployment.requests
    queue.send([OutboundMessage("a")])
    queue.depth()
    queue.receive(1, lease_s=1)
    assert [name for name, _ in sent].count("GetQueueUrl") == 1


def test_a_long_poll_ends_when_a_message_comes(deployment: Deployment) -> None:
    queue = deployment.requests
    bodies: list[str] = []
    poll = threading.Thread(
        target=lambda: bodies.extend(one.body for one in queue.receive(1, lease_s=9, wait_s=20))
    )
    poll.start()
    queue.send([OutboundMessage("hello")])
    join(poll)
    assert bodies == ["hello"]


def test_a_released_message_is_visible_at_once_and_counted_again(deployment: Deployment) -> None:
    queue = deployment.requests
    queue.send([OutboundMessage("a")])
    (first,) = queue.receive(1, lease_s=60)
    assert queue.receive(1, lease_s=60) == []
    queue.release([first.receipt])
    (second,) = queue.receive(1, lease_s=60)
    assert (first.receive_count, second.receive_count) == (1, 2)
    assert first.receipt != second.receipt


def test_an_extended_lease_outlasts_the_first_one(
    deployment: Deployment, pass_emulated_time: Callable[[float], None]
) -> None:
    queue = deployment.requests
    queue.send([OutboundMessage("a")])
    (message,) = queue.receive(1, lease_s=10)
    queue.extend([message.receipt], 60)
    pass_emulated_time(11)
    assert queue.receive(1, lease_s=1) == []
    assert queue.depth() == QueueDepth(visible=0, in_flight=1, delayed=0)


@pytest.mark.parametrize("receipt", ["", "nonsense", "ünï\x00", "x" * 2000])
def test_an_invalid_receipt_changes_nothing(deployment: Deployment, receipt: str) -> None:
    queue = deployment.requests
    queue.send([OutboundMessage("a")])
    (message,) = queue.receive(1, lease_s=60)
    for act in (queue.delete, queue.release, lambda them: queue.extend(them, 60)):
        act([receipt])
    queue.delete([receipt, message.receipt])
    queue.delete([message.receipt])
    assert queue.depth().total == 0


def test_a_message_received_too_often_becomes_a_dead_letter(deployment: Deployment) -> None:
    queue = deployment.requests
    queue.send([OutboundMessage("poison")])
    for _ in range(MAX_RECEIVES):
        (message,) = queue.receive(1, lease_s=60)
        queue.release([message.receipt])
    assert queue.receive(1, lease_s=60) == []
    assert [one.body for one in deployment.dead_letters.receive(1, lease_s=1)] == ["poison"]


def test_a_missing_queue_of_the_deployment_says_how_to_provision(session: AwsSession) -> None:
    queue = SqsQueue(session, "iraas-nobody-requests")
    with pytest.raises(NotProvisionedError, match="iraas-nobody-requests") as caught:
        queue.send([OutboundMessage("a")])
    assert isinstance(caught.value, QueueNotFoundError)
    assert "iraas provision --backend aws" in caught.value.remedy


def test_a_queue_removed_while_in_use_is_noticed_and_found_again(deployment: Deployment) -> None:
    queue = deployment.dead_letters
    queue.send([OutboundMessage("a")])
    deployment.session.sqs.delete_queue(QueueUrl=queue.url())
    with pytest.raises(QueueNotFoundError):
        queue.send([OutboundMessage("b")])
    deployment.session.sqs.create_queue(QueueName=queue.name)
    queue.send([OutboundMessage("c")])
    assert bodies_in(queue) == ["c"]


def test_a_queue_remembered_as_missing_costs_no_call(session: AwsSession) -> None:
    now = [0.0]
    queue = SqsQueue(
        session, "iraas-x-reply-y", provisioned=False, missing_cache_ttl_s=30, clock=lambda: now[0]
    )
    sent = requests_of(session)
    for now[0] in (0.0, 1.0, 29.0):
        with pytest.raises(QueueNotFoundError):
            queue.send([OutboundMessage("a")])
    assert len(sent) == 1
    now[0] = 31.0
    with pytest.raises(QueueNotFoundError):
        queue.send([OutboundMessage("a")])
    assert len(sent) == 2


@pytest.mark.parametrize(
    "fault",
    [
        refuse,
        lose_reply,
        garbage,
        answer(400, "RequestThrottled"),
        answer(503, "ServiceUnavailable"),
        answer(500, "InternalError", took_effect=True),
    ],
)
def test_a_send_survives_a_fault(shaky: Deployment, proxy: FaultProxy, fault: Any) -> None:
    proxy.plan("SendMessageBatch", fault)
    bodies = [f"{number}" for number in range(12)]
    shaky.requests.send([OutboundMessage(body) for body in bodies])
    assert set(bodies_in(shaky.requests)) == set(bodies)


def test_only_the_entries_that_failed_are_sent_again(shaky: Deployment, proxy: FaultProxy) -> None:
    sent = requests_of(shaky.session)
    proxy.plan("SendMessageBatch", fail_entries(1, 3), fail_entries(0))
    shaky.requests.send([OutboundMessage(f"{number}") for number in range(5)])
    batches = [
        [entry["MessageBody"] for entry in parameters["Entries"]]
        for name, parameters in sent
        if name == "SendMessageBatch"
    ]
    assert batches == [["0", "1", "2", "3", "4"], ["1", "3"], ["1"]]
    assert sorted(bodies_in(shaky.requests)) == ["0", "1", "2", "3", "4"]


def test_entries_that_keep_failing_are_given_up_after_a_bound(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    proxy.plan("SendMessageBatch", *[fail_entries(0)] * 50)
    with pytest.raises(BackendUnavailableError, match=r"1 of 3 messages.*InternalError"):
        shaky.requests.send([OutboundMessage("a")] * 3)
    assert proxy.seen.count("SendMessageBatch") == QUICK.attempts


def test_an_entry_with_a_sender_fault_is_not_sent_again(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    proxy.plan("SendMessageBatch", fail_entries(0, code="InvalidMessageContents", sender=True))
    with pytest.raises(BackendError, match="InvalidMessageContents"):
        shaky.requests.send([OutboundMessage("a")])
    assert proxy.seen.count("SendMessageBatch") == 1


@pytest.mark.parametrize("operation", ["DeleteMessageBatch", "ChangeMessageVisibilityBatch"])
@pytest.mark.parametrize("fault", [refuse, lose_reply, fail_entries(0, 4), answer(503, "SlowDown")])
def test_deletes_and_releases_survive_faults(
    shaky: Deployment, proxy: FaultProxy, operation: str, fault: Any
) -> None:
    queue = shaky.requests
    queue.send([OutboundMessage(f"{number}") for number in range(5)])
    receipts = [one.receipt for one in queue.receive(10, lease_s=60)]
    proxy.plan(operation, fault)
    queue.release(receipts)
    again = queue.receive(10, lease_s=60)
    assert len(again) == 5
    queue.delete([one.receipt for one in again])
    assert queue.depth().total == 0


@pytest.mark.parametrize("code", ["ReceiptHandleIsInvalid", "MessageNotInflight"])
def test_a_stale_receipt_in_a_batch_is_not_retried(
    shaky: Deployment, proxy: FaultProxy, code: str
) -> None:
    queue = shaky.requests
    queue.send([OutboundMessage("a"), OutboundMessage("b")])
    receipts = [one.receipt for one in queue.receive(10, lease_s=60)]
    proxy.plan("ChangeMessageVisibilityBatch", fail_entries(1, code=code, sender=True))
    queue.extend(receipts, 60)
    assert proxy.seen.count("ChangeMessageVisibilityBatch") == 1


def test_a_bad_receipt_that_spoils_a_whole_batch_does_not_spoil_the_others(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    queue = shaky.requests
    queue.send([OutboundMessage("a"), OutboundMessage("b")])
    receipts = [one.receipt for one in queue.receive(10, lease_s=60)]
    bad = answer(400, "ReceiptHandleIsInvalid")
    proxy.plan("DeleteMessageBatch", bad, bad)
    queue.delete(["bad", *receipts])
    assert queue.depth().total == 0


def test_a_received_message_whose_reply_was_lost_returns_after_its_lease(
    shaky: Deployment, proxy: FaultProxy, pass_emulated_time: Callable[[float], None]
) -> None:
    queue = shaky.requests
    queue.send([OutboundMessage("a")])
    proxy.plan("ReceiveMessage", lose_reply)
    assert queue.receive(1, lease_s=10) == []  # the SDK asked again, and nothing was left
    pass_emulated_time(11)
    assert bodies_in(queue) == ["a"]


def test_a_service_that_hangs_is_given_up_after_a_bound(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    proxy.plan_all(lambda _: proxy.hang)
    with (
        fresh_session(proxy.url, HASTY) as session,
        pytest.raises(BackendUnavailableError, match="could not be reached"),
    ):
        shaky.seen_through(session).requests.depth()
    assert proxy.seen == ["GetQueueUrl"] * HASTY.attempts


def test_a_deleted_queue_is_noticed_with_one_call(shaky: Deployment, proxy: FaultProxy) -> None:
    queue = shaky.dead_letters
    queue.depth()
    shaky.session.sqs.delete_queue(QueueUrl=queue.url())
    with pytest.raises(QueueNotFoundError):
        queue.send([OutboundMessage("a")])
    assert proxy.seen.count("SendMessageBatch") == 1
