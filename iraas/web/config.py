"""The bounds that the web tier holds its clients to."""

from dataclasses import dataclass, field

from iraas.client.storage_guard import StorageLimits
from iraas.core.settings import (
    DEFAULT_IMAGE_CPU_S,
    DEFAULT_MAX_IMAGE_BYTES,
    DEFAULT_MAX_PIXELS,
)

USUAL_QUOTA_BYTES = 20_000_000_000
"""Unlike the command line, the web tier takes images from people who do not see the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """How much one client, and all of them together, may ask for.

    Attributes:
        max_image_bytes: The largest picture.
        max_pixels: The largest image that a thumbnail is made of, in pixels.
        image_cpu_s: CPU seconds that the thumbnail of one image may take.
        max_files: Pictures in one request.
        max_body_bytes: Bytes in one request's body, whatever its headers claim.
        max_buffered_bytes: Bytes of pictures in this process's memory, all requests together.
        client_share: The part of the memory, the event streams and the connections that one client
            may have, in 0..1. Who a client is, `iraas.web.limits.clients` tells.
        max_pending: Images without an outcome, in the whole deployment, at which no more are taken.
        head_s: How long a client may take to send a request's head.
        idle_s: How long a client may send nothing in the middle of a body.
        body_s: How long a whole body may take.
        min_bytes_per_s: How fast a client must send a body or take an answer, after `idle_s`.
        send_s: How long a client may take nothing of an answer.
        room_s: How long an upload waits for room once too many images are pending.
        wait_s: How long ``POST /api/v1/classify`` waits unless the client says otherwise.
        max_wait_s: How long it waits at most.
        compatible_wait_s: How long ``POST /`` waits.
        requests_per_s: Requests of one client per second, in the long run.
        request_burst: Requests of one client at once.
        wrong_tokens_per_minute: How often one client may be wrong about the token.
        thumbnail_s: How long a request waits for its turn to have a thumbnail made.
        max_streams: Event streams at once.
        max_connections: Connections at once.
        storage: The room that images may take, those of all clients together.
        shutdown_timeout_s: How long requests in progress have when the server stops.
        webhook_hosts: Hosts (``name`` or ``name:port``) that webhooks may go to.
        webhook_secret: The key that webhooks are signed with; without it there are none.
        single_request_s: How long pictures that were sent one by one, their outcomes and their
            tickets are kept.
        history_s: How long the dashboard's past is kept.
    """

    max_image_bytes: int = DEFAULT_MAX_IMAGE_BYTES
    max_pixels: int = DEFAULT_MAX_PIXELS
    image_cpu_s: float = DEFAULT_IMAGE_CPU_S
    max_files: int = 10_000
    max_body_bytes: int = 4_000_000_000
    max_buffered_bytes: int = 256_000_000
    client_share: float = 0.25
    max_pending: int = 20_000
    head_s: float = 20.0
    idle_s: float = 20.0
    body_s: float = 900.0
    min_bytes_per_s: float = 8_000.0
    send_s: float = 20.0
    room_s: float = 20.0
    wait_s: float = 30.0
    max_wait_s: float = 300.0
    compatible_wait_s: float = 300.0
    requests_per_s: float = 400.0
    request_burst: int = 4000
    wrong_tokens_per_minute: int = 10
    thumbnail_s: float = 15.0
    max_streams: int = 1000
    max_connections: int = 8000
    storage: StorageLimits = field(
        default_factory=lambda: StorageLimits(max_stored_bytes=USUAL_QUOTA_BYTES)
    )
    shutdown_timeout_s: float = 5.0
    webhook_hosts: tuple[str, ...] = ()
    webhook_secret: str = ""
    single_request_s: float = 7 * 86_400.0
    history_s: float = 7 * 86_400.0
