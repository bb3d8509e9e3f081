"""Requests and outcomes of a sample job, and short ways to queue, receive and find them."""

from collections.abc import Iterable

from iraas.backends.memory import MemoryBackend
from iraas.core.ids import request_id
from iraas.core.keys import outcome_key
from iraas.core.messages import Request, encode_request
from iraas.core.outcomes import LabelScore, Outcome, Prediction, decode_outcome
from iraas.core.ports import OutboundMessage, ReceivedMessage
from tests.fakes.scripted_classifier import image_bytes

JOB = "01kb3v9x4q0000000000000000"
OTHER_JOB = "01kb3v9x4r0000000000000000"
REQUESTER = "submit-1"
LEASE_S = 30.0


def request(index: int, image: bytes | None = None, *, reply_to: str = REQUESTER) -> Request:
    """A request of `JOB` with its image inline."""
    image = image_bytes(f"label-{index}") if image is None else image
    return Request(request_id(JOB, index), f"image-{index}.jpg", 1.0, reply_to, image)


def outcome(
    asked: Request, label: str | None = "cat", *, reason: str = "", worker: str = "w-1"
) -> Outcome:
    """The outcome of a request: a label, or a failure with a reason."""
    return Outcome(
        request_id=asked.request_id,
        job_id=asked.job_id,
        name=asked.name,
        prediction=Prediction((LabelScore(label, 0.9),)) if label else None,
        reason=reason,
        model="scripted@00000000",
        worker=worker,
        attempts=1,
        submitted_at=asked.submitted_at,
        completed_at=2.0,
    )


def send(backend: MemoryBackend, requests: Iterable[Request]) -> None:
    """Put requests on the request queue."""
    backend.requests.send([OutboundMessage(encode_request(one), group=JOB) for one in requests])


def receive(backend: MemoryBackend, count: int = 1) -> list[ReceivedMessage]:
    """Receive exactly that many requests."""
    messages = backend.requests.receive(count, lease_s=LEASE_S)
    assert len(messages) == count
    return messages


def stored(backend: MemoryBackend, index: int) -> Outcome:
    """The stored outcome of a request of `JOB`."""
    return decode_outcome(backend.outputs.get(outcome_key(request_id(JOB, index))))


def count_outcomes(backend: MemoryBackend) -> int:
    """The number of stored outcomes."""
    return sum(1 for _ in backend.outputs.list())
