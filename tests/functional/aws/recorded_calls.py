"""Record the calls of a run on the wire, and the permissions that IAM would check for each."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from iraas.backends.aws.iam.role_permissions import IMAGE_PARAMETER
from tests.functional.aws.faults import Call, Fault, Reply, fault_proxy
from tests.functional.aws.iam_evaluator import Ask

ACCOUNT = "123456789012"
REGION = "us-east-1"

_BATCHES = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
_OBJECT_ACTIONS = {
    "GET": "s3:GetObject",
    "HEAD": "s3:GetObject",
    "PUT": "s3:PutObject",
    "DELETE": "s3:DeleteObject",
}
_BUCKET_NOUNS = {
    "tagging": "BucketTagging",
    "publicAccessBlock": "BucketPublicAccessBlock",
    "policy": "BucketPolicy",
    "encryption": "EncryptionConfiguration",
    "lifecycle": "LifecycleConfiguration",
}
_FREE = ("GetCallerIdentity",)
"""Calls that need no permission."""


@dataclass
class Recorder:
    """The recorded calls with their callers, identified by access key."""

    url: str = ""
    calls: list[tuple[str, Call]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, call: Call) -> Reply:
        found = re.search("Credential=([^/]+)/", call.headers.get("Authorization", ""))
        with self._lock:
            self.calls.append((found[1] if found else "", call))
        return call.forward(call.body)

    def asks(self, who: str, deployment: str) -> list[Ask]:
        """The distinct permissions that the calls of one access key need."""
        found = [ask for key, call in self.calls if key == who for ask in asks_of(call, deployment)]
        unique = {(one.action, one.resource, json.dumps(dict(one.context))): one for one in found}
        return list(unique.values())


@contextmanager
def recording(upstream: str) -> Iterator[Recorder]:
    """Run a recorder in front of an emulator."""
    recorder = Recorder()

    def always(_: str) -> Fault:
        return recorder.record

    with fault_proxy(upstream) as proxy:
        proxy.plan_all(always)
        recorder.url = proxy.url
        yield recorder


def asks_of(call: Call, deployment: str) -> list[Ask]:
    """The permissions that one call needs."""
    headers = {name.lower(): value for name, value in call.headers.items()}
    service = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", headers.get("authorization", ""))
    assert service is not None, call.path
    if service[1] == "sqs":
        return [_sqs(headers["x-amz-target"].rpartition(".")[2], json.loads(call.body))]
    if service[1] == "s3":
        return _s3(call)
    form = dict(parse_qsl(call.body.decode()))
    action = form.get("Action", "")
    if action in _FREE:
        return []
    if service[1] == "ec2":
        return _ec2(action, form, deployment)
    return [Ask(f"{service[1]}:{action or headers.get('x-amz-target', '?')}", "*")]


def _sqs(operation: str, request: Mapping[str, str]) -> Ask:
    name = request.get("QueueName") or str(request.get("QueueUrl", "")).rsplit("/", 1)[-1]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}" if name else "*"
    return Ask(f"sqs:{_BATCHES.get(operation, operation)}", arn)


def _s3(call: Call) -> list[Ask]:
    method, path = call.method, call.path
    parts = urlsplit(path)
    bucket, _, key = unquote(parts.path).strip("/").partition("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    headers = {name.lower(): value for name, value in call.headers.items()}
    # All buckets of the emulator are of one account.
    context = {"s3:ResourceAccount": ACCOUNT}
    for name in ("if-none-match", "if-match"):
        if name in headers:
            context[f"s3:{name}"] = headers[name]
    if key:
        assert not query or set(query) <= {"x-id", "partNumber", "uploadId"}, path
        return [Ask(_OBJECT_ACTIONS[method], f"arn:aws:s3:::{bucket}/{key}", context)]
    if method == "POST" and "delete" in query:
        keys = re.findall("<Key>(.*?)</Key>", call.body.decode())
        action = "s3:DeleteObjectVersion" if b"<VersionId>" in call.body else "s3:DeleteObject"
        return [Ask(action, f"arn:aws:s3:::{bucket}/{one}", context) for one in keys]
    return [Ask(_bucket_action(method, query), f"arn:aws:s3:::{bucket}", context)]


def _bucket_action(method: str, query: Mapping[str, object]) -> str:
    for name, noun in _BUCKET_NOUNS.items():
        if name in query:
            return f"s3:{method.capitalize()}{noun}"
    if method in ("PUT", "DELETE"):
        return "s3:CreateBucket" if method == "PUT" else "s3:DeleteBucket"
    if "versions" in query:
        return "s3:ListBucketVersions"
    return "s3:ListBucketMultipartUploads" if "uploads" in query else "s3:ListBucket"


def _ec2(action: str, form: Mapping[str, str], deployment: str) -> list[Ask]:
    tagged = {"aws:ResourceTag/iraas:deployment": deployment}
    if action == "RunInstances":
        return list(_launch(form, deployment))
    if action == "TerminateInstances":
        # Terminated instances were listed by their tag, so they have it.
        return [Ask("ec2:TerminateInstances", _arn("instance/i-0"), tagged)]
    return [Ask(f"ec2:{action}", "*")]


def _launch(form: Mapping[str, str], deployment: str) -> Iterator[Ask]:
    """A launch needs one permission for each resource that it uses or creates
    (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html).
    """
    tags = {
        form[name]: form[name.replace(".Key", ".Value")]
        for name in form
        if re.fullmatch(r"TagSpecification\.\d+\.Tag\.\d+\.Key", name)
    }
    request_tags = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    template = {"ec2:IsLaunchTemplateResource": "true"}
    run = "ec2:RunInstances"
    assert form["LaunchTemplate.LaunchTemplateName"] == f"iraas-{deployment}-worker"
    # The template was made by provisioning, which tags it; a test of the stack holds it to that.
    yield Ask(run, _arn("launch-template/lt-0"), {"aws:ResourceTag/iraas:deployment": deployment})
    yield Ask(run, _arn("instance/*"), request_tags)
    yield Ask(run, _arn("volume/*"), request_tags)
    yield Ask(run, _arn("network-interface/*"))
    yield Ask(run, _arn(f"subnet/{form['SubnetId']}"))
    yield Ask(run, _arn("image/ami-0", account=""), template)
    yield Ask(run, _arn("security-group/sg-0"), template)
    if "InstanceMarketOptions.MarketType" in form:
        yield Ask(run, _arn("spot-instances-request/*"))
    create = {"ec2:CreateAction": "RunInstances"}
    yield Ask("ec2:CreateTags", _arn("instance/i-0"), create)
    yield Ask("ec2:CreateTags", _arn("volume/vol-0"), create)
    role = f"arn:aws:iam::{ACCOUNT}:role/iraas-{deployment}-{REGION}-worker"
    yield Ask("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"})
    # The template names the image by its parameter.
    yield Ask("ssm:GetParameters", f"arn:aws:ssm:{REGION}::parameter{IMAGE_PARAMETER}")


def _arn(resource: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:ec2:{REGION}:{account}:{resource}"
