"""What an EC2 instance can learn of itself: its id, and the notice that its Spot capacity ends.

The instance metadata service, version 2
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html):
a token first, then questions that carry it.
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
"""The longest that a token may live."""
POLL_S = 5.0
"""AWS asks to look every five seconds
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html)."""

MAX_ANSWER_BYTES = 65_536
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")
_NOT_FOUND = 404
_UNAUTHORISED = 401

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpotNotice:
    """The instance will be taken away.

    Attributes:
        action: ``terminate``, ``stop`` or ``hibernate``.
        at: When, as the service writes it, such as ``2026-11-22T08:22:00Z``.
    """

    action: str
    at: str


class InstanceMetadata:
    """A client of the metadata service. Thread-safe in so far as a lost race costs a token more."""

    def __init__(
        self,
        endpoint: str = ENDPOINT,
        *,
        timeout_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a client; no call yet.

        Args:
            endpoint: Where the service is.
            timeout_s: How long one question may take.
            clock: Gives seconds, of any origin.

        Raises:
            ConfigurationError: The endpoint is no http URL.
        """
        parts = urlsplit(endpoint)
        if parts.scheme != "http" or not parts.netloc:
            raise ConfigurationError(
                f"the metadata service cannot be at {endpoint!r}",
                remedy=f"Set {ENDPOINT_VARIABLE} to a URL such as {ENDPOINT}, or unset it.",
            )
        self._endpoint = endpoint
        self._host = parts.netloc
        self._base = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._clock = clock
        self._token = ""
        self._token_ends = 0.0

    def instance_id(self) -> str:
        """This instance's id, such as ``i-0123456789abcdef0``.

        Raises:
            BackendUnavailableError: There is no such service here, or it answers nonsense.
        """
        text = self._get("/latest/meta-data/instance-id")
        if text is None or _INSTANCE_ID.fullmatch(text) is None:
            raise BackendUnavailableError(
                f"the metadata service gave no instance id but {text!r:.100}",
                remedy="A worker without --worker-id on the aws backend needs an EC2 instance.",
            )
        return text

    def spot_notice(self) -> SpotNotice | None:
        """The notice of a Spot interruption, or None if there is none (yet).

        Raises:
            BackendUnavailableError: The service could not be asked.
        """
        text = self._get("/latest/meta-data/spot/instance-action")
        if text is None:
            return None
        try:
            notice: dict[str, Any] = json.loads(text)
            return SpotNotice(str(notice["action"]), str(notice.get("time", "")))
        except (ValueError, TypeError, KeyError, AttributeError):
            # A notice that cannot be read is a notice: two minutes are too few to argue.
            return SpotNotice("terminate", "")

    def _get(self, path: str) -> str | None:
        """The answer, or None if there is nothing under that path."""
        for _ in range(2):
            headers = {"X-aws-ec2-metadata-token": self._fresh_token()}
            status, text = self._ask("GET", path, headers)
            if status == _NOT_FOUND:
                return None
            if status == http.client.OK:
                return text
            self._token = ""
            if status != _UNAUTHORISED:
                break
        raise BackendUnavailableError(f"the metadata service answered {status} for {path}")

    def _fresh_token(self) -> str:
        if not self._token or self._clock() >= self._token_ends:
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": f"{TOKEN_LIFE_S:.0f}"}
            status, text = self._ask("PUT", "/latest/api/token", headers)
            if status != http.client.OK or not text.isprintable():
                raise BackendUnavailableError(f"the metadata service gave no token but {status}")
            self._token_ends = self._clock() + TOKEN_LIFE_S / 2
            self._token = text
        return self._token

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        # No proxy, whatever the environment says: it would ask of the proxy's own instance.
        connection = http.client.HTTPConnection(self._host, timeout=self._timeout_s)
        try:
            connection.request(method, self._base + path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(MAX_ANSWER_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as exc:
            raise BackendUnavailableError(
                f"the instance metadata service at {self._endpoint} cannot be reached: {exc}",
                remedy="It is there on EC2 instances only.",
            ) from exc
        finally:
            connection.close()


def metadata_endpoint(environment: Mapping[str, str]) -> str:
    """Where the service is, by the SDK's own variable."""
    return environment.get(ENDPOINT_VARIABLE) or ENDPOINT


def watch_spot_notice(
    metadata: InstanceMetadata,
    on_notice: Callable[[SpotNotice], None],
    stop: threading.Event,
    *,
    every_s: float = POLL_S,
) -> None:
    """Look for a notice until there is one, or until told to stop; for a thread of its own.

    Calls `on_notice` once at most. A service that fails is asked again: an instance that is not
    a Spot instance never gets a notice, and that is no error.
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
        stop.wait(every_s)
