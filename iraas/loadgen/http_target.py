"""Requests to a web tier over HTTP, on kept-alive connections. Only here is aiohttp used."""

import asyncio
import os
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Self

import aiohttp
from yarl import URL

from iraas.errors import BackendUnavailableError, CredentialsError, UsageError
from iraas.loadgen.answers import Answer, Failure
from iraas.loadgen.http_answers import (
    HttpReply,
    garbled,
    read_load,
    read_outcome,
    read_text,
    spread,
)
from iraas.loadgen.images import LoadedPicture
from iraas.loadgen.plan import Api
from iraas.loadgen.sampling import Load

KEEP_ALIVE_S = 3.0
"""An idle connection is not used again after so long: uvicorn closes it after 5 s, and a request
sent into a closing connection fails without anybody's fault."""
CONNECT_S = 10.0
TOKEN_S = 3.0
"""How long to wait for a word about the token; who says nothing is not known to refuse it."""
MAX_ANSWER_BYTES = 1_000_000
MAX_WAIT_S = 300.0
"""The longest that ``POST /api/v1/classify`` may be asked to wait."""


class HttpTarget:
    """A web tier.

    Args:
        base: Its address.
        api: How to ask: the API's ``POST /api/v1/classify``, or ``POST /`` with one form field
            ``inputFile`` and ``name:label`` as plain text back.
        token: Sent as a bearer token; empty for none.

    Raises:
        UsageError: If that is not an address.
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
            # The caller bounds each request as a whole.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def check(self) -> None:
        """See whether anybody listens there at all, and takes the token.

        Raises:
            BackendUnavailableError: Nobody does.
            CredentialsError: The token is wrong, or missing.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(self._base.host, self._base.port)
        except OSError as exc:
            raise BackendUnavailableError(
                f"nobody answers at {self._base}: {_why(exc)}", remedy="Is the web tier running?"
            ) from exc
        writer.close()
        await self._check_token()

    async def _check_token(self) -> None:
        try:
            async with asyncio.timeout(TOKEN_S):
                reply = await self._exchange("GET", self._base / "api/v1/status")
        except (aiohttp.ClientError, OSError):
            return  # what else is wrong there shows under load
        if reply.status == HTTPStatus.UNAUTHORIZED:
            known = "does not take this token" if self._headers else "wants a token"
            raise CredentialsError(
                f"{self._base} {known}",
                remedy="Set IRAAS_TOKEN to the token that the web tier was started with.",
            )

    async def classify(self, picture: LoadedPicture, until: float) -> Answer:
        """Send a picture and wait for its outcome. See `iraas.loadgen.answers.Target`."""
        retries = 0
        ask = self._ask_classify if self._api == "classify" else self._ask_input_file
        while True:
            try:
                reply = await ask(picture, until)
            except aiohttp.ClientError as exc:
                return _broken(exc, retries)
            except OSError as exc:
                return Answer(failure=Failure.CONNECTION, reason=_told(exc), retries=retries)
            wait_s = spread(reply.retry_after_s)
            left_s = until - asyncio.get_running_loop().time()
            if not reply.is_busy or wait_s >= left_s:
                break
            retries += 1
            await asyncio.sleep(wait_s)
        read = read_outcome if self._api == "classify" else read_text
        answer = (
            garbled(reply, "it was accepted, but nowhere to come back to was given")
            if reply.status == HTTPStatus.ACCEPTED
            else read(reply, picture.name)
        )
        return replace(answer, retries=retries)

    async def load(self) -> Load:
        """Look at the deployment behind the web tier.

        Raises:
            BackendError: It does not tell.
        """
        try:
            return read_load(await self._exchange("GET", self._base / "api/v1/status"))
        except (aiohttp.ClientError, OSError) as exc:
            raise BackendUnavailableError(f"{self._base} does not answer: {_told(exc)}") from exc

    async def _ask_classify(self, picture: LoadedPicture, until: float) -> HttpReply:
        """Send a picture; if its outcome takes longer than the server waits, come back for it."""
        left_s = until - asyncio.get_running_loop().time()
        url = (self._base / "api/v1/classify").with_query(
            name=picture.name, wait_s=f"{min(max(left_s, 0.0), MAX_WAIT_S):.0f}"
        )
        reply = await self._exchange(
            "POST", url, data=picture.data, headers={"Content-Type": "application/octet-stream"}
        )
        ticket = self._ticket(url, reply)
        while ticket is not None and (reply.status == HTTPStatus.ACCEPTED or reply.is_busy):
            await asyncio.sleep(reply.retry_after_s)
            reply = await self._exchange("GET", ticket)
        return reply

    async def _ask_input_file(self, picture: LoadedPicture, _until: float) -> HttpReply:
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("inputFile", picture.data, filename=picture.name, content_type="image/jpeg")
        return await self._exchange("POST", self._base, data=form)

    async def _exchange(self, method: str, url: URL, **request: Any) -> HttpReply:
        # A redirect is not followed: it would take the token and the picture elsewhere.
        async with self._session.request(method, url, allow_redirects=False, **request) as response:
            return HttpReply(response.status, response.headers, await _read(response))

    def _ticket(self, asked: URL, reply: HttpReply) -> URL | None:
        """Where the outcome will be; never at another server, which is not to get our token."""
        if reply.status != HTTPStatus.ACCEPTED or "Location" not in reply.headers:
            return None
        try:
            url = asked.join(URL(reply.headers["Location"]))
            return url if url.origin() == self._base.origin() else None
        except ValueError:
            return None


def check_url(text: str) -> URL:
    """Read a web tier's address.

    Raises:
        UsageError: If it is none.
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
    """Read a whole answer.

    Raises:
        aiohttp.ClientPayloadError: It is longer than any answer to expect, or broke off.
    """
    if (response.content_length or MAX_ANSWER_BYTES + 1) <= MAX_ANSWER_BYTES:
        return await response.read()
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError("the answer does not end")
    return bytes(body)


def _broken(error: aiohttp.ClientError, retries: int) -> Answer:
    kinds = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
    failure = Failure.CONNECTION if isinstance(error, kinds) else Failure.MALFORMED
    return Answer(failure=failure, reason=_told(error), retries=retries)


def _told(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.host}:{error.port} cannot be reached: {_why(error.os_error)}"
    return str(error) or type(error).__name__


def _why(error: OSError) -> str:
    """Why there is no connection, without the numbers that come with it."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or f"no connection within {CONNECT_S:g} s"
