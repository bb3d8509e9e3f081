"""The limits of the web tier."""

from dataclasses import dataclass, field

from iraas.client.storage_guard import StorageLimits
from iraas.core.settings import (
    DEFAULT_IMAGE_CPU_S,
    DEFAULT_MAX_IMAGE_BYTES,
    DEFAULT_MAX_PIXELS,
)

DEFAULT_QUOTA_BYTES = 20_000_000_000
"""Unlike the command line, the web tier accepts images from people who do not see the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Limits for each client, and for all clients together.

    Attributes:
        max_image_bytes: Size of the largest image.
        max_pixels: Largest image to make a thumbnail of, in pixels.
        image_cpu_s: CPU seconds allowed for the thumbnail of one image.
        max_files: Images in one request.
        max_body_bytes: Bytes in one request's body, whatever its headers declare.
        max_buffered_bytes: Bytes of images in this process's memory, for all requests together.
        client_share: Fraction of the memory, the event streams and the connections that one client
            may use, in 0..1. See `iraas.web.limits.clients` for what identifies a client.
        max_pending: Images without an outcome in the whole deployment; no more are accepted above
            it.
        head_s: Time to receive a request's head.
        idle_s: Longest pause while a body is received.
        body_s: Time to receive a whole body.
        min_bytes_per_s: Slowest rate at which a client may send a body, or read a response, after
            `idle_s` or `send_s`.
        send_s: Longest time for which a client may read nothing of a response.
        capacity_wait_s: How long an upload waits for capacity when too many images are pending.
        wait_s: How long ``POST /api/v1/classify`` waits by default.
        max_wait_s: How long it waits at most.
        compatible_wait_s: How long ``POST /`` waits.
        requests_per_s: Sustained request rate of one client.
        request_burst: Requests of one client at once.
        wrong_tokens_per_minute: Wrong tokens of one client per minute.
        thumbnail_s: How long a request waits for its turn to have a thumbnail made.
        max_streams: Event streams open at once.
        max_connections: Connections open at once.
        storage: Limits on the storage used by the images of all clients.
        shutdown_timeout_s: Time for requests in progress when the server stops.
        webhook_hosts: Hosts (``name`` or ``name:port``) that webhooks may be sent to.
        webhook_secret: Key that webhooks are signed with; empty disables webhooks.
        single_request_s: How long single images, their outcomes and their tickets are kept.
        history_s: How long the dashboard's history is kept.
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
    capacity_wait_s: float = 20.0
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
        default_factory=lambda: StorageLimits(max_stored_bytes=DEFAULT_QUOTA_BYTES)
    )
    shutdown_timeout_s: float = 5.0
    webhook_hosts: tuple[str, ...] = ()
    webhook_secret: str = ""
    single_request_s: float = 7 * 86_400.0
    history_s: float = 7 * 86_400.0
