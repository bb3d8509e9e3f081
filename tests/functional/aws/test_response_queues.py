"""`SqsResponseQueues` against an emulator."""

import threading

import pytest

from iraas.backends.aws.names import DEPLOYMENT_TAG, Names
from iraas.backends.aws.queues import response_queues
from iraas.backends.aws.queues.owned_response_queue import ALIVE_TAG, CONSISTENCY_TIMEOUT_S
from iraas.backends.aws.queues.response_queues import REQUESTER_TAG, SqsResponseQueues
from iraas.core.ports import OutboundMessage, Queue
from iraas.errors import BackendUnavailableError, QueueNotFoundError
from tests.fakes.clock import Clock
from tests.functional.aws.deployments import QUICK, Deployment
from tests.functional.aws.faults import FaultProxy, answer, lose_reply, refuse

START = 1_800_000_000.0


def with_clock(deployment: Deployment, clock: Clock) -> SqsResponseQueues:
    return SqsResponseQueues(
        deployment.session, deployment.names, retries=QUICK, clock=clock, sleep=clock.advance
    )


def bodies_of(queue: Queue) -> list[str]:
    return [one.body for one in queue.receive(10, lease_s=60)]


def test_a_reply_reaches_its_requester_and_nobody_else(deployment: Deployment) -> None:
    mine = deployment.responses.create("me")
    yours = deployment.responses.create("you")
    deployment.responses.find("me").send([OutboundMessage("done")])
    assert bodies_of(yours) == []
    assert bodies_of(mine) == ["done"]


def test_a_new_queue_is_tagged_and_keeps_replies_for_an_hour(deployment: Deployment) -> None:
    deployment.responses.create("me")
    sqs = deployment.session.sqs
    url = sqs.get_queue_url(QueueName=deployment.names.reply("me"))["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    tags = sqs.list_queue_tags(QueueUrl=url)["Tags"]
    assert attributes["MessageRetentionPeriod"] == "3600"
    assert attributes["MaximumMessageSize"] == "1048576"
    assert tags[DEPLOYMENT_TAG] == deployment.names.deployment
    assert tags[REQUESTER_TAG] == "me"
    assert tags["iraas:role"] == "response-queue"
    assert float(tags[ALIVE_TAG]) > START - 2e8


def test_creating_twice_finds_the_same_queue_with_its_messages(deployment: Deployment) -> None:
    deployment.responses.create("me").send([OutboundMessage("done")])
    assert bodies_of(deployment.responses.create("me")) == ["done"]


def test_creating_at_once_from_several_threads_is_one_queue(deployment: Deployment) -> None:
    responses = deployment.responses
    threads = [threading.Thread(target=responses.create, args=("me",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    responses.find("me").send([OutboundMessage("done")])
    assert bodies_of(responses.create("me")) == ["done"]


def test_a_queue_with_other_attributes_is_still_found(deployment: Deployment) -> None:
    name = deployment.names.reply("me")
    deployment.session.sqs.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": "60"})
    queue = deployment.responses.create("me")
    queue.send([OutboundMessage("a")])
    assert bodies_of(queue) == ["a"]


def test_replying_to_a_missing_requester_creates_no_queue_and_costs_one_call(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    responses = shaky.responses
    for _ in range(5):
        with pytest.raises(QueueNotFoundError):
            responses.find("nobody").send([OutboundMessage("done")])
    assert [name for name in proxy.seen if name != "Sts"] == ["GetQueueUrl"]


def test_a_deleted_queue_is_gone_and_may_be_deleted_again(deployment: Deployment) -> None:
    responses = deployment.responses
    queue = responses.create("me")
    responses.delete("me")
    responses.delete("me")
    with pytest.raises(QueueNotFoundError):
        queue.depth()
    with pytest.raises(QueueNotFoundError):
        responses.find("me").send([OutboundMessage("late")])


def test_an_invalid_name_is_refused(deployment: Deployment) -> None:
    for name in ("", "../x", "A", "a_b", "x" * 65, "é"):
        with pytest.raises(ValueError, match="requester"):
            deployment.responses.find(name)


def test_a_sweep_removes_abandoned_queues_and_keeps_live_ones(deployment: Deployment) -> None:
    clock = Clock(START)
    responses = with_clock(deployment, clock)
    living = responses.create("living")
    responses.create("abandoned")
    clock.now += 1000
    living.receive(1, lease_s=1)
    clock.now += 1000
    assert responses.sweep(1500) == ["abandoned"]
    assert responses.sweep(1500) == []
    living.depth()
    with pytest.raises(QueueNotFoundError):
        responses.find("abandoned").depth()


def test_receiving_renews_the_tag_at_most_every_five_minutes(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    clock = Clock(START)
    queue = with_clock(shaky, clock).create("me")
    assert proxy.seen.count("TagQueue") == 1
    for _ in range(10):
        clock.now += 60
        queue.receive(1, lease_s=1)
    assert proxy.seen.count("TagQueue") == 1 + 2


def test_a_failed_tag_renewal_does_not_affect_receives_and_is_retried(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    clock = Clock(START)
    queue = with_clock(shaky, clock).create("me")
    queue.send([OutboundMessage("done")])
    clock.now += 400
    proxy.plan("TagQueue", *[answer(503, "ServiceUnavailable")] * 4)
    assert bodies_of(queue) == ["done"]
    queue.receive(1, lease_s=1)
    assert proxy.seen.count("TagQueue") == 1 + 4 + 1


def test_an_untagged_queue_is_swept_by_its_age(
    deployment: Deployment,
) -> None:
    names = deployment.names
    deployment.session.sqs.create_queue(
        QueueName=names.reply("stillborn"), tags=names.tags("response-queue")
    )
    clock = Clock(START)
    assert with_clock(deployment, clock).sweep(clock.now) == []
    clock.now *= 2
    assert with_clock(deployment, clock).sweep(3600) == ["stillborn"]


def test_a_sweep_touches_no_unmanaged_queue(deployment: Deployment) -> None:
    sqs, names = deployment.session.sqs, deployment.names
    other = Names(f"{names.deployment}-b")
    strangers = [
        (f"{names.reply_prefix}stranger", {}),
        (f"{names.reply_prefix}borrowed", {DEPLOYMENT_TAG: "another"}),
        (other.reply("me"), {**other.tags("response-queue"), ALIVE_TAG: "0"}),
    ]
    for name, tags in strangers:
        sqs.create_queue(QueueName=name, tags=tags)
    assert deployment.responses.sweep(0) == []
    for name, _ in strangers:
        sqs.get_queue_url(QueueName=name)


def test_a_requester_with_a_long_id_has_a_queue_and_is_swept_by_its_full_id(
    deployment: Deployment,
) -> None:
    long, longer = "a" * 63, "a" * 64
    clock = Clock(START)
    responses = with_clock(deployment, clock)
    responses.create(long)
    queue = responses.create(longer)
    responses.find(longer).send([OutboundMessage("done")])
    assert bodies_of(queue) == ["done"]
    clock.now += 1000
    assert sorted(responses.sweep(900)) == [long, longer]


@pytest.mark.parametrize("fault", [refuse, lose_reply, answer(503, "ServiceUnavailable")])
@pytest.mark.parametrize("operation", ["CreateQueue", "TagQueue", "GetQueueUrl"])
def test_a_create_survives_a_fault(
    shaky: Deployment, proxy: FaultProxy, operation: str, fault: object
) -> None:
    assert callable(fault)
    proxy.plan(operation, fault)
    shaky.responses.create("me").send([OutboundMessage("done")])
    assert bodies_of(shaky.responses.create("me")) == ["done"]


def test_a_new_queue_that_is_not_found_yet_is_waited_for(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    clock = Clock(START)
    missing = answer(400, "QueueDoesNotExist")
    proxy.plan("GetQueueUrl", missing, missing)
    queue = with_clock(shaky, clock).create("me")
    assert clock.now == START + 2
    proxy.plan("ReceiveMessage", missing)
    assert queue.receive(1, lease_s=1, wait_s=1) == []
    assert clock.now == START + 3
    clock.now += 60
    proxy.plan("ReceiveMessage", missing)
    with pytest.raises(QueueNotFoundError):
        queue.receive(1, lease_s=1)


def test_a_new_queue_that_is_never_found_ends_the_wait(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    clock = Clock(START)
    proxy.plan("GetQueueUrl", *[answer(400, "QueueDoesNotExist")] * 50)
    with pytest.raises(QueueNotFoundError):
        with_clock(shaky, clock).create("me")
    assert clock.now - START <= CONSISTENCY_TIMEOUT_S


def test_a_name_deleted_a_moment_ago_is_an_error_for_now(
    shaky: Deployment, proxy: FaultProxy
) -> None:
    proxy.plan("CreateQueue", *[answer(400, "QueueDeletedRecently")] * 5)
    with pytest.raises(BackendUnavailableError, match="QueueDeletedRecently"):
        shaky.responses.create("me")


def test_a_worker_remembers_a_bounded_number_of_requesters(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_queues, "MAX_CACHED_QUEUES", 2)
    responses = deployment.responses
    first = responses.find("a")
    assert responses.find("a") is first
    responses.find("b")
    responses.find("a")
    responses.find("c")
    assert responses.find("a") is first
    assert len(responses._cache) == 2
