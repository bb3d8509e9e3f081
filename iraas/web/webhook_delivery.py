"""Sending webhooks: signed, only to allowed hosts, without following redirects.

The signature is ``sha256=`` and the hexadecimal HMAC-SHA256 of ``<timestamp>.<body>`` under the
shared secret. The timestamp is a header, so that a receiver can reject old requests. Everything
else that a receiver acts on is in the signed body.
"""

import hmac
import http.client
import ssl
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus
from urllib.parse import urlsplit

from iraas.web.config import WebConfig
from iraas.web.problems import Problem

TIMEOUT_S = 10.0
MAX_URL_CHARACTERS = 2048


def check_webhook(url: str, limits: WebConfig) -> str:
    """Validate a webhook's URL.

    Args:
        url: The URL from the request.
        limits: Holds the allowed hosts.

    Returns:
        The URL, unchanged.

    Raises:
        Problem: Webhooks are disabled, or the URL is invalid or its host not allowed (422).
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("it is not a URL") from None
    if not limits.webhook_secret or not limits.webhook_hosts:
        raise _refused("webhooks are disabled on this server")
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        raise _refused("it is not a plain URL")
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        raise _refused("it must be an http or https address without credentials")
    named = f"{host}:{port}" if port else host
    if named not in {allowed.lower() for allowed in limits.webhook_hosts}:
        raise _refused(f"the host {named[:80]!r} is not on this server's list")
    return url


class WebhookPoster:
    """Posts signed bodies. Thread-safe.

    Args:
        secret: The key of the signature.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        self._secret = secret.encode()
        self._clock = clock

    def deliver(self, url: str, body: bytes) -> None:
        """Post a body. Blocks, `TIMEOUT_S` seconds at most for each step.

        Args:
            url: A URL that `check_webhook` has accepted.
            body: The JSON body.

        Raises:
            OSError: The delivery failed: no connection, a timeout, or a status other than 2xx.
        """
        parts = urlsplit(url)
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        connection = _connection(parts.scheme, parts.hostname or "", parts.port)
        try:
            connection.request("POST", target, body=body, headers=self._headers(body))
            status = connection.getresponse().status
        except http.client.HTTPException as exc:
            raise OSError(f"the response is not HTTP: {exc}") from exc
        finally:
            connection.close()
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise OSError(f"the receiver responded with status {status}")

    def _headers(self, body: bytes) -> dict[str, str]:
        stamp = str(int(self._clock()))
        signature = hmac.new(self._secret, stamp.encode() + b"." + body, sha256).hexdigest()
        return {
            "Content-Type": "application/json",
            "User-Agent": "iraas-webhook",
            "X-Iraas-Timestamp": stamp,
            "X-Iraas-Signature": f"sha256={signature}",
        }


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _refused(why: str) -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"the webhook is refused: {why}", code="bad-webhook"
    )
