"""Requests to a web tier over HTTP, on persistent connections. Only this module uses aiohttp."""

import asyncio
import os
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Self

import aiohttp
from yarl import URL

from iraas.errors import BackendUnavailableError, CredentialsError, UsageError
from iraas.loadgen.http_replies import (
    HttpReply,
    malformed,
    read_load,
    read_outcome,
    read_text,
    with_jitter,
)
from iraas.loadgen.images import LoadedImage
from iraas.loadgen.plan import Api
from iraas.loadgen.results import Failure, RequestResult
from iraas.loadgen.sampling import DeploymentLoad

KEEP_ALIVE_S = 3.0
"""Idle connections are not reused after this time: uvicorn closes them after 5 s, and a request
sent into a closing connection fails spuriously.
"""
CONNECT_TIMEOUT_S = 10.0
TOKEN_TIMEOUT_S = 3.0
"""Timeout of the check of the token; no response does not count as a rejection."""
MAX_RESPONSE_BYTES = 1_000_000
MAX_WAIT_S = 300.0
"""The longest wait to request of ``POST /api/v1/classify``."""


class HttpTarget:
    """A web tier as a target. Used from one event loop.

    Args:
        base: The address of the web tier.
        api: The API to use: ``POST /api/v1/classify``, or ``POST /`` with one form field
            ``inputFile`` and ``name:label`` as plain text back.
        token: Sent as a bearer token; empty for none.

    Raises:
        UsageError: The address is invalid.
    """

    def __init__(self, base: str, *, api: Api, token: str = "") -> None:
        self._base = check_url(base)
        self._api = api
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            # The caller sets a timeout for each request as a whole.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def check(self) -> None:
        """Check that the server accepts connections and the token.

        Raises:
            BackendUnavailableError: No server listens at the address.
            CredentialsError: The token is wrong or missing.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(self._base.host, self._base.port)
        except OSError as exc:
            raise BackendUnavailableError(
                f"no server responds at {self._base}: {_why(exc)}",
                remedy="Is the web tier running?",
            ) from exc
        writer.close()
        await self._check_token()

    async def _check_token(self) -> None:
        try:
            async with asyncio.timeout(TOKEN_TIMEOUT_S):
                reply = await self._exchange("GET", self._base / "api/v1/status")
        except (aiohttp.ClientError, OSError):
            return  # other problems show under load
        if reply.status == HTTPStatus.UNAUTHORIZED:
            verdict = "rejects this token" if self._headers else "requires a token"
            raise CredentialsError(
                f"{self._base} {verdict}",
                remedy="Set IRAAS_TOKEN to the token that the web tier was started with.",
            )

    async def classify(self, image: LoadedImage, until: float) -> RequestResult:
        """Send an image and wait for its outcome. See `iraas.loadgen.results.Target`."""
        retries = 0
        send = self._classify if self._api == "classify" else self._classify_form
        while True:
            try:
                reply = await send(image, until)
            except aiohttp.ClientError as exc:
                return _client_error(exc, retries)
            except OSError as exc:
                return RequestResult(
                    failure=Failure.CONNECTION, reason=_describe(exc), retries=retries
                )
            wait_s = with_jitter(reply.retry_after_s)
            left_s = until - asyncio.get_running_loop().time()
            if not reply.is_busy or wait_s >= left_s:
                break
            retries += 1
            await asyncio.sleep(wait_s)
        read = read_outcome if self._api == "classify" else read_text
        result = (
            malformed(reply, "it was accepted without an address for the outcome")
            if reply.status == HTTPStatus.ACCEPTED
            else read(reply, image.name)
        )
        return replace(result, retries=retries)

    async def load(self) -> DeploymentLoad:
        """Get the load of the deployment behind the web tier.

        Raises:
            BackendError: The web tier does not return it.
        """
        try:
            return read_load(await self._exchange("GET", self._base / "api/v1/status"))
        except (aiohttp.ClientError, OSError) as exc:
            raise BackendUnavailableError(
                f"{self._base} does not answer: {_describe(exc)}"
            ) from exc

    async def _classify(self, image: LoadedImage, until: float) -> HttpReply:
        """Send an image; if its outcome takes longer than the server waits, poll for it."""
        left_s = until - asyncio.get_running_loop().time()
        url = (self._base / "api/v1/classify").with_query(
            name=image.name, wait_s=f"{min(max(left_s, 0.0), MAX_WAIT_S):.0f}"
        )
        reply = await self._exchange(
            "POST", url, data=image.data, headers={"Content-Type": "application/octet-stream"}
        )
        ticket = self._ticket(url, reply)
        while ticket is not None and (reply.status == HTTPStatus.ACCEPTED or reply.is_busy):
            await asyncio.sleep(reply.retry_after_s)
            reply = await self._exchange("GET", ticket)
        return reply

    async def _classify_form(self, image: LoadedImage, _until: float) -> HttpReply:
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("inputFile", image.data, filename=image.name, content_type="image/jpeg")
        return await self._exchange("POST", self._base, data=form)

    async def _exchange(self, method: str, url: URL, **request: Any) -> HttpReply:
        # Redirects are not followed: they would send the token and the image elsewhere.
        async with self._session.request(method, url, allow_redirects=False, **request) as response:
            return HttpReply(response.status, response.headers, await _read(response))

    def _ticket(self, asked: URL, reply: HttpReply) -> URL | None:
        """Return the address of the outcome; never on another server, to keep the token secret."""
        if reply.status != HTTPStatus.ACCEPTED or "Location" not in reply.headers:
            return None
        try:
            url = asked.join(URL(reply.headers["Location"]))
            return url if url.origin() == self._base.origin() else None
        except ValueError:
            return None


def check_url(text: str) -> URL:
    """Parse the address of a web tier.

    Raises:
        UsageError: The address is invalid.
    """
    try:
        url = URL(text)
        if url.scheme in {"http", "https"} and url.host and not url.user and not url.query_string:
            return url.with_fragment(None)
    except ValueError:
        pass
    raise UsageError(
        f"{text!r} is not the address of a web tier",
        remedy="For example: iraas loadgen http://127.0.0.1:8000 ./images; or --queue ./images",
    )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read a whole response.

    Raises:
        aiohttp.ClientPayloadError: It is too long, or was truncated.
    """
    if (response.content_length or MAX_RESPONSE_BYTES + 1) <= MAX_RESPONSE_BYTES:
        return await response.read()
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise aiohttp.ClientPayloadError("the response is too long")
    return bytes(body)


def _client_error(error: aiohttp.ClientError, retries: int) -> RequestResult:
    kinds = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
    failure = Failure.CONNECTION if isinstance(error, kinds) else Failure.MALFORMED
    return RequestResult(failure=failure, reason=_describe(error), retries=retries)


def _describe(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.host}:{error.port} cannot be reached: {_why(error.os_error)}"
    return str(error) or type(error).__name__


def _why(error: OSError) -> str:
    """Describe a connection error, without its numbers."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or f"no connection within {CONNECT_TIMEOUT_S:g} s"
