"""The policies against a real run: no permission is missing, and none is unused.

The run: the web tier's controller and a requester on it, workers on instances that boot their real
user data, all through a proxy that reads from the wire who called what.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iraas.backends.aws.backend import AwsBackend
from iraas.backends.aws.fleet.config import FleetConfig
from iraas.backends.aws.iam.policies import DeploymentArns, Statement, policy_document
from iraas.backends.aws.iam.role_permissions import (
    SESSION_MANAGER,
    web_statements,
    worker_statements,
)
from iraas.backends.aws.names import Names
from iraas.backends.aws.provisioning.preflight import provision_actions
from iraas.core.ids import request_id
from iraas.core.keys import attempt_key
from iraas.core.ports import OutboundMessage
from iraas.errors import QueueNotFoundError
from tests.functional.aws.boot_shim import ROOT, booting
from tests.functional.aws.deployments import ENVIRONMENT
from tests.functional.aws.iam_evaluator import Ask, allows, statement_allows
from tests.functional.aws.moto_server import MotoServer
from tests.functional.aws.recorded_calls import ACCOUNT, REGION, Recorder, recording
from tests.waiting import PATIENCE_S, wait_until

DEPLOYMENT = "iamrun"
ARNS = DeploymentArns(Names(DEPLOYMENT), ACCOUNT, REGION)
ROLES = {"WORKER": worker_statements(ARNS), "WEB": web_statements(ARNS)}

UNUSED = {
    ("WORKER", "s3:PutObject", "baked"): "only a builder says that it is done",
    ("WORKER", "s3:ListBucket", ""): "without it, what is not there is forbidden (403), not 404",
    ("WEB", "s3:GetObject", "install/*"): "its user data fetches the wheel as the workers' does",
    ("WEB", "s3:PutObject", "web/token"): "its user data stores the token, if it is open",
    **{
        ("WEB", action, ""): "the agent of Session Manager calls it, not iraas"
        for action in SESSION_MANAGER
    },
    ("WEB", "ec2:RunInstances", "snapshot"): "an image of one's own is made of snapshots",
}
"""Permissions that this run does not use, with the reasons for granting them."""

KEY = "01k0000000000000000000000a/00000/00000000"
EVERYTHING = {"s3:ResourceAccount": ACCOUNT, "s3:if-none-match": "*"}
"""The condition keys of the policies that a request to S3 may carry."""


@dataclass
class Run:
    """The results of the run."""

    recorder: Recorder
    outcomes: list[dict[str, Any]]


def environment(key: str, url: str, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        **ENVIRONMENT,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_ENDPOINT_URL": url,
        "HOME": str(home),
        "IRAAS_BACKEND": "aws",
        "IRAAS_DEPLOYMENT": DEPLOYMENT,
        "IRAAS_IDLE_TIMEOUT_S": "1",
        "IRAAS_POLL_S": "1",
        "IRAAS_PROCESSES": "1",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory,
    bundle_path: Path,
    photos: list[Any],
    moto: MotoServer,
) -> Iterator[Run]:
    moto.reset()
    folder = tmp_path_factory.mktemp("iam")
    images = folder / "images"
    images.mkdir()
    for path, _, _ in photos[:4]:
        shutil.copy(path, images)
    with pytest.MonkeyPatch.context() as patch, recording(moto.url) as recorder:
        for name, value in environment("ADMIN", moto.url, folder).items():
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL")
        backend = AwsBackend(
            DEPLOYMENT,
            REGION,
            endpoint_url=recorder.url,
            config=FleetConfig(instance_types=("c6a.large",), capacity=2),
            bundle=lambda: bundle_path,
        )
        backend.provisioning.provision()
        worker = environment("WORKER", recorder.url, folder)
        with booting(moto.url, folder / "machines", worker) as shim:
            outcomes = _label(environment("WEB", recorder.url, folder), images, folder)
            wait_until(
                lambda: not shim.running() and not backend.fleet.instances(),
                lambda: f"no instance left: {[one.log for one in shim.machines.values()]}",
            )
        for act, key in (
            (_as_a_worker_rarely_does, "WORKER"),
            (_as_the_web_tier_rarely_does, "WEB"),
        ):
            patch.setenv("AWS_ACCESS_KEY_ID", key)
            acting = AwsBackend(DEPLOYMENT, REGION, endpoint_url=recorder.url)
            act(acting)
            acting.close()
        patch.setenv("AWS_ACCESS_KEY_ID", "ADMIN")
        backend.provisioning.teardown()
        backend.close()
        yield Run(recorder, outcomes)


def _label(web: dict[str, str], images: Path, folder: Path) -> list[dict[str, Any]]:
    iraas = [sys.executable, "-P", "-m", "iraas"]
    with (folder / "controller.log").open("wb") as log:
        controller = subprocess.Popen([*iraas, "controller"], env=web, stdout=log, stderr=log)
        try:
            done = subprocess.run(
                [*iraas, "submit", "--json", str(images)],
                env=web,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            assert done.returncode == 0, done.stderr + (folder / "controller.log").read_text()
        finally:
            controller.terminate()
            controller.wait()
    return [json.loads(line) for line in done.stdout.splitlines()]


def _as_a_worker_rarely_does(backend: AwsBackend) -> None:
    """Make the calls for an image that is large, slow, corrupt, or kills its process."""
    note = attempt_key(request_id(KEY[:26], 0), 1)
    backend.records.put(note, b"")
    backend.records.get(note)
    backend.records.delete([note])
    backend.inputs.put_if_absent([(f"{KEY}.jpg", b"x")])
    backend.inputs.get(f"{KEY}.jpg")
    backend.outputs.put_if_absent([(f"{KEY}.json", b"{}")])
    backend.outputs.get(f"{KEY}.json")
    backend.dead_letters.send([OutboundMessage("?")])
    backend.requests.delete(["a stale receipt"])
    backend.requests.release(["a stale receipt"])
    backend.requests.extend(["a stale receipt"], 30.0)
    with suppress(QueueNotFoundError):
        backend.responses.find("gone").send([OutboundMessage("?")])


def _as_the_web_tier_rarely_does(backend: AwsBackend) -> None:
    """Make the calls for large images, dead letters, retries and deletions."""
    backend.inputs.put_if_absent([(f"{KEY}.png", b"x")])
    backend.inputs.get(f"{KEY}.png")
    assert list(backend.inputs.list(KEY.rpartition("/")[0] + "/"))
    backend.outputs.put_if_absent([(f"{KEY}.json", b"{}")])
    backend.outputs.get(f"{KEY}.json")
    backend.outputs.delete([f"{KEY}.json"])
    backend.inputs.delete([f"{KEY}.jpg"])
    backend.records.put("webhooks/x.json", b"{}")
    backend.records.delete(["webhooks/x.json"])
    (letter,) = backend.dead_letters.receive(10, lease_s=30.0)
    backend.dead_letters.send([OutboundMessage(letter.body, note="inspected")])
    backend.dead_letters.delete([letter.receipt])
    mine = backend.responses.create("web-rarely")
    mine.send([OutboundMessage("?")])
    (reply,) = mine.receive(1, lease_s=30.0)
    mine.delete([reply.receipt])
    mine.depth()
    backend.responses.sweep(1e9)
    backend.responses.delete("web-rarely")
    (instance_id,) = backend.fleet.launch(1).launched
    backend.fleet.terminate([instance_id])


def test_workers_of_the_fleet_label_every_image(run: Run) -> None:
    assert len(run.outcomes) == 4
    assert {one["status"] for one in run.outcomes} == {"ok"}
    assert all(one["worker"].startswith("i-") for one in run.outcomes)


@pytest.mark.parametrize("who", ROLES)
def test_every_call_is_allowed(run: Run, who: str) -> None:
    policy = policy_document(ROLES[who])
    asked = run.recorder.asks(who, DEPLOYMENT)
    assert len(asked) > 5
    denied = [(one.action, one.resource) for one in asked if not allows(policy, one)]
    assert denied == []


def test_the_check_before_provisioning_asks_about_every_call_of_it(run: Run) -> None:
    called = {one.action for one in run.recorder.asks("ADMIN", DEPLOYMENT)}
    assert len(called) > 30
    # Creating AWS's own role for Spot is optional: without permission it warns and continues.
    asked = {one for actions in provision_actions(ARNS).values() for one in actions.split()}
    assert called - {"iam:CreateServiceLinkedRole"} <= asked


@pytest.mark.parametrize("who", ROLES)
def test_every_permission_was_used_or_has_a_documented_reason(run: Run, who: str) -> None:
    asked = run.recorder.asks(who, DEPLOYMENT)
    unused = [
        (action, resource)
        for statement in ROLES[who]
        for action in statement.actions
        for resource in statement.resources
        if not any(statement_allows(_only(statement, action, resource), ask) for ask in asked)
    ]
    unexplained = [
        (action, resource)
        for action, resource in unused
        if not any(
            (who, action) == (name, granted) and part in resource for name, granted, part in UNUSED
        )
    ]
    assert unexplained == [], "\n".join(map(str, unexplained))


KEYS = r"arn:aws:s3:::[^/]+/((?:records/)?[^/]+)/"
"""The kind of an object: for records the kind of record, otherwise the prefix."""


def _areas(who: str, action: str, arns: list[str]) -> set[tuple[str, str, str]]:
    found = [re.match(KEYS, arn) for arn in arns]
    return {(who, action, one[1]) for one in found if one}


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
def test_a_worker_has_exactly_the_permissions_that_it_uses(run: Run, action: str) -> None:
    granted = [
        resource.replace("*", "x/x")
        for statement in ROLES["WORKER"]
        if action in statement.actions
        for resource in statement.resources
    ]
    asked = run.recorder.asks("WORKER", DEPLOYMENT)
    used = [one.resource for one in asked if one.action == action]
    baked = {("WORKER", "s3:PutObject", "install")}  # by a builder only
    assert _areas("WORKER", action, granted) - baked == _areas("WORKER", action, used)


def _only(statement: Statement, action: str, resource: str) -> dict[str, Any]:
    return Statement(statement.why, (action,), (resource,), statement.conditions).to_json()


@pytest.mark.parametrize("who", ROLES)
def test_no_permission_has_a_wildcard_action_and_each_has_a_reason(who: str) -> None:
    for statement in ROLES[who]:
        assert statement.why
        assert not any("*" in action for action in statement.actions)
        if "*" in statement.resources:
            assert statement.actions in (
                ("sqs:ListQueues",),
                ("ec2:DescribeInstances",),
                SESSION_MANAGER,
            )


def test_a_worker_cannot_touch_instances_nor_other_queues_and_buckets() -> None:
    policy = policy_document(worker_statements(ARNS))
    assert not any(
        action.startswith(("ec2:", "iam:", "ssm:"))
        for statement in policy["Statement"]
        for action in statement["Action"]
    )
    for action, resource in (
        ("sqs:SendMessage", ARNS.queue("iraas-other-reply-x")),
        ("sqs:SendMessage", ARNS.queue("iraas-iamrun-requests")),
        ("sqs:ReceiveMessage", ARNS.queue("iraas-iamrun-reply-x")),
        ("sqs:DeleteQueue", ARNS.queue("iraas-iamrun-requests")),
        ("s3:GetObject", ARNS.bucket("iraas-other-123456789012-us-east-1-inputs", "images/x")),
        ("s3:PutObject", ARNS.bucket(ARNS.outputs, "install/iraas.whl")),
        ("s3:DeleteObject", ARNS.bucket(ARNS.outputs, "outcomes/x")),
    ):
        assert not allows(policy, Ask(action, resource, EVERYTHING)), (action, resource)


@pytest.mark.parametrize(
    "key",
    [
        "records/controller/lease.json",
        "records/controller/spend-limit.json",
        "records/controller/last-decision.json",
        "records/fleet/worker/00/0000000001",
        "records/history/0000000001.json",
        "records/instances/i-0.json",
        "records/jobs/x.json",
        "records/manifests/x/000000.jsonl",
        "records/tickets/x",
        "records/webhooks/x.json",
        "records/web/token",
        "web/token",
        "options.json",
    ],
)
def test_a_worker_is_denied_every_other_kind_of_object(key: str) -> None:
    policy = policy_document(worker_statements(ARNS))
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        ask = Ask(action, ARNS.bucket(ARNS.outputs, key), EVERYTHING)
        assert not allows(policy, ask), action


def test_a_worker_reads_no_other_workers_record() -> None:
    policy = policy_document(worker_statements(ARNS))
    record = ARNS.bucket(ARNS.outputs, "records/workers/i-0.json")
    assert allows(policy, Ask("s3:PutObject", record, EVERYTHING))
    for action in ("s3:GetObject", "s3:DeleteObject"):
        assert not allows(policy, Ask(action, record, EVERYTHING))


@pytest.mark.parametrize("who", ROLES)
@pytest.mark.parametrize("store", ["inputs", "outputs"])
def test_nobody_changes_an_image_or_an_outcome(who: str, store: str) -> None:
    policy = policy_document(ROLES[who])
    one = (
        ARNS.bucket(ARNS.inputs, "images/x")
        if store == "inputs"
        else ARNS.bucket(ARNS.outputs, "outcomes/x")
    )
    assert allows(policy, Ask("s3:PutObject", one, EVERYTHING))
    assert not allows(policy, Ask("s3:PutObject", one, {"s3:ResourceAccount": ACCOUNT}))


@pytest.mark.parametrize("who", ROLES)
def test_a_bucket_that_now_belongs_to_another_account_is_not_used(who: str) -> None:
    theirs = EVERYTHING | {"s3:ResourceAccount": "999999999999"}
    asked = 0
    for statement in ROLES[who]:
        for action in statement.actions:
            for resource in statement.resources:
                if action.startswith("s3:"):
                    asked += 1
                    policy = policy_document(ROLES[who])
                    assert not allows(policy, Ask(action, resource.replace("*", "x"), theirs))
    assert asked > 5


def test_the_web_tier_launches_and_ends_only_its_own_instances() -> None:
    policy = policy_document(web_statements(ARNS))
    theirs = {"aws:ResourceTag/iraas:deployment": "other"}
    untagged = {"aws:RequestTag/iraas:deployment": "other"}
    create = {"ec2:CreateAction": "CreateVolume"}
    for ask in (
        Ask("ec2:TerminateInstances", ARNS.ec2("instance/i-0"), theirs),
        Ask("ec2:TerminateInstances", ARNS.ec2("instance/i-0")),
        Ask("ec2:RunInstances", ARNS.ec2("launch-template/lt-0"), theirs),
        Ask("ec2:RunInstances", ARNS.ec2("instance/i-0"), untagged),
        Ask("ec2:RunInstances", ARNS.ec2("image/ami-0", owned=False)),
        Ask("ec2:CreateTags", ARNS.ec2("instance/i-0")),
        Ask("ec2:CreateTags", ARNS.ec2("instance/i-0"), create),
        Ask("iam:PassRole", ARNS.role("admin"), {"iam:PassedToService": "ec2.amazonaws.com"}),
        Ask("s3:DeleteObject", ARNS.bucket(ARNS.outputs, "install/options.json")),
        Ask("s3:DeleteObject", ARNS.bucket(ARNS.inputs, "images/x")),
        Ask("s3:PutObject", ARNS.bucket(ARNS.outputs, "install/options.json")),
        Ask("sqs:DeleteQueue", ARNS.queue("iraas-iamrun-requests")),
    ):
        assert not allows(policy, ask), ask


@pytest.mark.parametrize("who", ROLES)
def test_a_policy_fits_into_a_role(who: str) -> None:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 10,240
    # characters of inline policies a role, white space not counted.
    text = json.dumps(policy_document(ROLES[who]), separators=(",", ":"))
    assert len(text) < 10_240


def test_the_evaluator_judges_as_iam_does() -> None:
    policy = {
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["sqs:Send*"],
                "Resource": ["arn:aws:sqs:*:1:q-*"],
                "Condition": {"StringEquals": {"k": "v"}},
            }
        ]
    }
    yes = Ask("SQS:sendmessage", "arn:aws:sqs:x:1:q-1", {"k": "v"})
    assert allows(policy, yes)
    for no in (
        Ask("sqs:ReceiveMessage", yes.resource, yes.context),
        Ask(yes.action, "arn:aws:sqs:x:1:Q-1", yes.context),
        Ask(yes.action, yes.resource),
        Ask(yes.action, yes.resource, {"k": "V"}),
    ):
        assert not allows(policy, no)
    with pytest.raises(AssertionError):
        allows({"Statement": [{"Effect": "Deny", "Action": [], "Resource": []}]}, yes)
