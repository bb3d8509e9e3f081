"""The web tier's samples of the queue."""

from iraas.backends.memory import MemoryBackend
from iraas.core.ports import OutboundMessage
from iraas.web.config import WebConfig
from iraas.web.state import AppState


def test_a_burst_that_is_over_before_the_next_sample_is_in_it() -> None:
    backend = MemoryBackend()
    state = AppState(backend, deployment="test", token=None, limits=WebConfig())
    state.backlog.record_accepted(12)
    backend.requests.send([OutboundMessage("image") for _ in range(12)])
    state._sample_depth()
    while messages := backend.requests.receive(10, lease_s=30.0):
        backend.requests.delete([one.receipt for one in messages])

    state._sample_status()

    assert [one.visible for one in state.history.samples(0.0)] == [12]
