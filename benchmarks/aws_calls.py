"""What the AWS calls of an image cost the client, in CPU-ms: ``python benchmarks/aws_calls.py``.

The services are played by a canned server in a process of its own that keeps connections open, as
AWS does and moto does not, so that only the client is measured. One round is ten images: one
receive with the images inline, ten inputs, ten outcomes if absent, ten replies, ten deletes.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable

from iraas.backends.aws.queues.sqs_queue import SqsQueue
from iraas.backends.aws.session import AwsSession
from iraas.backends.aws.storage.s3_store import S3Store
from iraas.core.ports import MAX_BATCH, OutboundMessage

IMAGE_BYTES = 60_000
OUTCOME = b"x" * 600
ROUNDS = 60


def main() -> None:
    """Measure each step and print a table."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "benchmark"
    with subprocess.Popen(
        [sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        session = AwsSession("us-east-1", endpoint_url=server.stdout.readline().strip())
        try:
            _report(session)
        finally:
            session.close()
            server.kill()


def _report(session: AwsSession) -> None:
    requests, replies = SqsQueue(session, "requests"), SqsQueue(session, "reply")
    inputs, outputs = S3Store(session, lambda: "inputs"), S3Store(session, lambda: "outputs")
    image = os.urandom(IMAGE_BYTES)
    receipts = [f"{'r' * 200}{number}" for number in range(MAX_BATCH)]
    steps: dict[str, Callable[[], object]] = {
        "receive 10": lambda: requests.receive(MAX_BATCH, lease_s=30),
        "put 10 inputs": lambda: inputs.put_if_absent(
            [(f"i/{n}", image) for n in range(MAX_BATCH)]
        ),
        "put 10 outcomes": lambda: outputs.put_if_absent(
            [(f"o/{n}", OUTCOME) for n in range(MAX_BATCH)]
        ),
        "reply 10": lambda: replies.send([OutboundMessage("x" * 700)] * MAX_BATCH),
        "delete 10": lambda: requests.delete(receipts),
    }
    total = 0.0
    for name, step in steps.items():
        cpu_ms, wall_ms = _measure(step)
        total += cpu_ms
        print(f"{name:16} {cpu_ms:6.2f} CPU-ms an image, {wall_ms:6.2f} ms of waiting a batch")
    print(f"{'all':16} {total:6.2f} CPU-ms an image")


def _measure(step: Callable[[], object]) -> tuple[float, float]:
    """CPU-ms an image, and ms a batch, of all threads of this process."""
    for _ in range(5):
        step()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(ROUNDS):
        step()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return cpu / ROUNDS / MAX_BATCH * 1e3, wall / ROUNDS * 1e3


def _answer(head: str, body: bytes) -> bytes:
    target = re.search(r"x-amz-target: AmazonSQS\.(\w+)", head, re.IGNORECASE)
    if target is None:
        return b'HTTP/1.1 200 OK\r\nETag: "e"\r\nx-amz-request-id: r\r\nContent-Length: 0\r\n\r\n'
    entries = json.loads(body).get("Entries", [])
    message = {
        "MessageId": "m" * 36,
        "ReceiptHandle": "r" * 200,
        "Body": "x" * (IMAGE_BYTES * 4 // 3),
        "Attributes": {"ApproximateReceiveCount": "1"},
    }
    answers: dict[str, object] = {
        "ReceiveMessage": {"Messages": [message] * MAX_BATCH},
        "GetQueueUrl": {"QueueUrl": "http://127.0.0.1/0/q"},
    }
    default = {"Successful": [{"Id": one["Id"]} for one in entries], "Failed": []}
    data = json.dumps(answers.get(target[1], default)).encode()
    return (
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"x-amzn-requestid: r\r\nContent-Length: {len(data)}\r\n\r\n"
    ).encode() + data


async def _serve() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                writer.write(_answer(head, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=2**22)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
    else:
        main()
