"""Client of the EC2 instance metadata service (IMDSv2): instance id and Spot interruption notice.

See https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html:
a session token first, then requests that carry it.
"""

import http.client
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from iraas.errors import BackendUnavailableError, ConfigurationError

ENDPOINT = "http://169.254.169.254"
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
TOKEN_LIFE_S = 21_600.0
"""The maximum lifetime of a token."""
POLL_S = 5.0
"""AWS recommends polling every five seconds
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html)."""

MAX_RESPONSE_BYTES = 65_536
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")
_NOT_FOUND = 404
_UNAUTHORIZED = 401

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpotNotice:
    """Notice that the instance will be interrupted.

    Attributes:
        action: ``terminate``, ``stop`` or ``hibernate``.
        at: Time in the service's format, such as ``2026-11-22T08:22:00Z``.
    """

    action: str
    at: str


class InstanceMetadata:
    """Client of the metadata service. Thread-safe: a lost race only costs another token."""

    def __init__(
        self,
        endpoint: str = ENDPOINT,
        *,
        timeout_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a client without calling the service.

        Args:
            endpoint: The service's URL.
            timeout_s: Timeout of one request, in seconds.
            clock: Monotonic clock, in seconds.

        Raises:
            ConfigurationError: The endpoint is not an http URL.
        """
        parts = urlsplit(endpoint)
        if parts.scheme != "http" or not parts.netloc:
            raise ConfigurationError(
                f"{endpoint!r} is not a valid URL of the metadata service",
                remedy=f"Set {ENDPOINT_VARIABLE} to a URL such as {ENDPOINT}, or unset it.",
            )
        self._endpoint = endpoint
        self._host = parts.netloc
        self._base = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._clock = clock
        self._token = ""
        self._token_expires_at = 0.0

    def instance_id(self) -> str:
        """Return this instance's id, such as ``i-0123456789abcdef0``.

        Raises:
            BackendUnavailableError: The service is unreachable, or its reply is invalid.
        """
        text = self._get("/latest/meta-data/instance-id")
        if text is None or _INSTANCE_ID.fullmatch(text) is None:
            raise BackendUnavailableError(
                f"the metadata service returned no instance id but {text!r:.100}",
                remedy="A worker without --worker-id on the aws backend needs an EC2 instance.",
            )
        return text

    def spot_notice(self) -> SpotNotice | None:
        """Return the Spot interruption notice, or None if there is none.

        Raises:
            BackendUnavailableError: The service is unreachable.
        """
        text = self._get("/latest/meta-data/spot/instance-action")
        if text is None:
            return None
        try:
            notice: dict[str, Any] = json.loads(text)
            return SpotNotice(str(notice["action"]), str(notice.get("time", "")))
        except (ValueError, TypeError, KeyError, AttributeError):
            # An unreadable notice counts as one: only two minutes are left.
            return SpotNotice("terminate", "")

    def _get(self, path: str) -> str | None:
        """Return the reply, or None if the path does not exist."""
        for _ in range(2):
            headers = {"X-aws-ec2-metadata-token": self._fresh_token()}
            status, text = self._request("GET", path, headers)
            if status == _NOT_FOUND:
                return None
            if status == http.client.OK:
                return text
            self._token = ""
            if status != _UNAUTHORIZED:
                break
        raise BackendUnavailableError(f"the metadata service returned status {status} for {path}")

    def _fresh_token(self) -> str:
        if not self._token or self._clock() >= self._token_expires_at:
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": f"{TOKEN_LIFE_S:.0f}"}
            status, text = self._request("PUT", "/latest/api/token", headers)
            if status != http.client.OK or not text.isprintable():
                raise BackendUnavailableError(
                    f"the metadata service returned no token but status {status}"
                )
            self._token_expires_at = self._clock() + TOKEN_LIFE_S / 2
            self._token = text
        return self._token

    def _request(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        # Never use a proxy: it would return its own instance's metadata.
        connection = http.client.HTTPConnection(self._host, timeout=self._timeout_s)
        try:
            connection.request(method, self._base + path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(MAX_RESPONSE_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as exc:
            raise BackendUnavailableError(
                f"the instance metadata service at {self._endpoint} cannot be reached: {exc}",
                remedy="It exists on EC2 instances only.",
            ) from exc
        finally:
            connection.close()


def metadata_endpoint(environment: Mapping[str, str]) -> str:
    """The service's URL, which the SDK's own environment variable may override."""
    return environment.get(ENDPOINT_VARIABLE) or ENDPOINT


def watch_spot_notice(
    metadata: InstanceMetadata,
    on_notice: Callable[[SpotNotice], None],
    stop: threading.Event,
    *,
    poll_interval_s: float = POLL_S,
) -> None:
    """Poll for a notice until there is one or `stop` is set; blocks, so run it in its own thread.

    Service errors are ignored: an instance that is not a Spot instance never gets a notice.

    Args:
        metadata: The client.
        on_notice: Called at most once, with the notice.
        stop: Ends the polling.
        poll_interval_s: Time between two polls, in seconds.
    """
    while not stop.is_set():
        try:
            notice = metadata.spot_notice()
        except BackendUnavailableError as exc:
            _log.debug("%s", exc)
            notice = None
        if notice is not None:
            on_notice(notice)
            return
        stop.wait(poll_interval_s)
