"""A real HTTP proxy between boto3 and an emulator that makes the network and the service fail.

It knows calls by their names, lets tests plan what happens to the next ones, and remembers what it
saw. Nothing of the product or of boto3 is patched.
"""

import http.client
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.waiting import PATIENCE_S

HOP_BY_HOP = {
    "connection",
    "expect",
    "transfer-encoding",
    "host",
    "content-length",
    "date",
    "server",
}


@dataclass
class Reply:
    """The response to the client; `cut` bytes of the body are promised and never sent."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: int = 0


@dataclass
class Call:
    """One request on its way; `forward` hands it, or another body, to the emulator."""

    operation: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    forward: Callable[[bytes], Reply]


class ConnectionLost(Exception):  # noqa: N818 - not an error: what a fault asks the proxy to do
    """Close the connection without a word."""


Fault = Callable[[Call], Reply]


def refuse(call: Call) -> Reply:
    """The request never arrives."""
    raise ConnectionLost


def lose_reply(call: Call) -> Reply:
    """The call takes effect and its reply is lost."""
    call.forward(call.body)
    raise ConnectionLost


def answer(status: int, code: str, *, took_effect: bool = False) -> Fault:
    """The service answers with an error, whether or not the call took effect."""

    def fault(call: Call) -> Reply:
        if took_effect:
            call.forward(call.body)
        if is_sqs(call):
            body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "planned"})
            kind = "application/x-amz-json-1.0"
        else:
            body = f"<Error><Code>{code}</Code><Message>planned</Message></Error>"
            kind = "application/xml"
        return Reply(status, {"Content-Type": kind}, body.encode())

    return fault


def fail_entries(*indexes: int, code: str = "InternalError", sender: bool = False) -> Fault:
    """Entries of an SQS batch, by their index, fail; the others are done."""

    def fault(call: Call) -> Reply:
        request = json.loads(call.body)
        entries = request["Entries"]
        failing = [entry for index, entry in enumerate(entries) if index in indexes]
        request["Entries"] = [entry for entry in entries if entry not in failing]
        result: dict[str, Any] = {"Successful": []}
        if request["Entries"]:
            result = json.loads(call.forward(json.dumps(request).encode()).body)
        result["Failed"] = [
            {"Id": one["Id"], "Code": code, "Message": "planned", "SenderFault": sender}
            for one in failing
        ]
        kind = {"Content-Type": "application/x-amz-json-1.0"}
        return Reply(200, kind, json.dumps(result).encode())

    return fault


def fail_keys(count: int, code: str = "InternalError") -> Fault:
    """The first keys of a DeleteObjects fail; the others are done."""

    def fault(call: Call) -> Reply:
        objects = re.findall(rb"<Object>.*?</Object>", call.body)
        rest = call.body
        for one in objects[:count]:
            rest = rest.replace(one, b"")
        if len(objects) > count:
            call.forward(rest)
        keys = [re.findall(rb"<Key>(.*?)</Key>", one)[0].decode() for one in objects[:count]]
        errors = "".join(
            f"<Error><Key>{key}</Key><Code>{code}</Code><Message>planned</Message></Error>"
            for key in keys
        )
        body = f"<DeleteResult>{errors}</DeleteResult>".encode()
        return Reply(200, {"Content-Type": "application/xml"}, body)

    return fault


def cut_short(call: Call) -> Reply:
    """The reply's body breaks off in the middle."""
    reply = call.forward(call.body)
    half = len(reply.body) // 2
    return Reply(reply.status, reply.headers, reply.body[:half], cut=len(reply.body) - half)


def garbage(call: Call) -> Reply:
    """The call takes effect; an intermediary replies with its own page."""
    call.forward(call.body)
    return Reply(200, {"Content-Type": "text/html"}, b"<html>sign in to this network")


@dataclass
class Lingering:
    """Deleted queues stay in the next listings, as SQS keeps them for up to a minute."""

    listings: int
    shown: int = 0
    _last: dict[tuple[str, bytes], Reply] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def choose(self, operation: str) -> Fault | None:
        """The fault of a call by its operation, for `FaultProxy.plan_all`."""
        return self._look if operation in ("GetQueueUrl", "ListQueueTags") else None

    def _look(self, call: Call) -> Reply:
        key = (call.operation, call.body)
        reply = call.forward(call.body)
        with self._lock:
            if reply.status < 400:
                self._last[key] = reply
            elif key in self._last and self.shown < self.listings:
                self.shown += 1
                return self._last[key]
        return reply


def is_sqs(call: Call) -> bool:
    return "x-amz-target" in {name.lower() for name in call.headers}


@dataclass
class FaultProxy:
    """Plans faults by operation, such as ``SendMessageBatch`` or ``PutObject``."""

    upstream: str
    url: str = ""
    seen: list[str] = field(default_factory=list)
    _plans: dict[str, deque[Fault]] = field(default_factory=dict)
    _always: Callable[[str], Fault | None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)

    def plan(self, operation: str, *faults: Fault) -> None:
        """Plan these faults for the next calls of an operation, one each, in order."""
        with self._lock:
            self._plans.setdefault(operation, deque()).extend(faults)

    def plan_all(self, choose: Callable[[str], Fault | None]) -> None:
        """Let a function choose the fault of each call that no plan is for."""
        self._always = choose

    def hang(self, call: Call) -> Reply:
        """The call takes effect; the reply does not come until the proxy ends."""
        call.forward(call.body)
        self.released.wait()
        raise ConnectionLost

    def take(self, operation: str) -> Fault | None:
        with self._lock:
            self.seen.append(operation)
            plan = self._plans.get(operation)
            if plan:
                return plan.popleft()
            return self._always(operation) if self._always else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each reply waits 40 ms for a delayed acknowledgement
    proxy: FaultProxy

    def handle_one_call(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        call = Call(
            _operation(self.command, self.path, headers),
            self.command,
            self.path,
            headers,
            body,
            lambda data: self._forward(headers, data),
        )
        fault = self.proxy.take(call.operation)
        try:
            reply = fault(call) if fault else call.forward(body)
        except ConnectionLost:
            self.close_connection = True
            return
        self._send(reply)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one_call  # noqa: N815 - http.server's names

    def log_message(self, *args: object) -> None:
        """Log nothing."""

    def _forward(self, headers: dict[str, str], body: bytes) -> Reply:
        host = urlsplit(self.proxy.upstream).netloc
        connection = http.client.HTTPConnection(host, timeout=PATIENCE_S)
        try:
            connection.request(self.command, self.path, body, {**headers, "Host": host})
            answer = connection.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
            if self.command == "HEAD" and answer.getheader("Content-Length"):
                kept["Content-Length"] = str(answer.getheader("Content-Length"))
            return Reply(answer.status, kept, answer.read())
        finally:
            connection.close()

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in reply.headers:
            self.send_header("Content-Length", str(len(reply.body) + reply.cut))
        self.end_headers()
        self.wfile.write(reply.body)
        if reply.cut:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """Log nothing when a client has given up."""


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Run a proxy on a loopback port that the system chooses."""
    proxy = FaultProxy(upstream)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    with _Server(("127.0.0.1", 0), handler) as server:
        proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.released.set()
            server.shutdown()
            thread.join()


def _operation(method: str, path: str, headers: dict[str, str]) -> str:
    lowered = {name.lower(): value for name, value in headers.items()}
    if "x-amz-target" in lowered:
        return lowered["x-amz-target"].rpartition(".")[2]
    where, _, query = path.partition("?")
    with_key = "/" in where.strip("/")
    if method == "POST" and "delete" in query:
        return "DeleteObjects"
    if method == "POST":
        return "Sts"
    names = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
    return names[method] if with_key else f"{method} bucket"
