"""Posting webhooks: to allowed hosts only, signed, and never where a redirect points.

The signature is ``sha256=`` and the hexadecimal HMAC-SHA256 of ``<timestamp>.<body>`` under the
shared secret; the timestamp is a header of its own, so that a receiver can refuse old ones. Nothing
that a receiver acts on is outside of what is signed: the job is named in the body alone.
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
    """Give a webhook's URL back if it may be posted to.

    Raises:
        Problem: It may not.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("it is no URL") from None
    if not limits.webhook_secret or not limits.webhook_hosts:
        raise _refused("this server sends no webhooks")
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        raise _refused("it is no plain URL")
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        raise _refused("it must be an http or https address without credentials")
    named = f"{host}:{port}" if port else host
    if named not in {one.lower() for one in limits.webhook_hosts}:
        raise _refused(f"the host {named[:80]!r} is not on this server's list")
    return url


class WebhookPoster:
    """Posts signed bodies. Thread-safe.

    Args:
        secret: The key of the signature.
        clock: Gives seconds since the epoch.
    """

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        self._secret = secret.encode()
        self._clock = clock

    def deliver(self, url: str, body: bytes) -> None:
        """Post a body.

        Raises:
            OSError: It was not taken: no connection, no answer in time, or a status beside 2xx.
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
            raise OSError(f"it gave no HTTP answer: {exc}") from exc
        finally:
            connection.close()
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise OSError(f"it answered with status {status}")

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
