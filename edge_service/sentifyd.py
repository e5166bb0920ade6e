"""The upstream client: trades the API key for a grant, in bounded time, memory and threads."""

from __future__ import annotations

import asyncio
import http.client
import re
from concurrent.futures import Future, ThreadPoolExecutor
from http.cookiejar import DefaultCookiePolicy

import requests
import urllib3

from edge_service.answers import JSON, ServiceError
from edge_service.grants import Grant, MalformedGrant, parse_grant, parse_json
from edge_service.settings import Settings
from edge_service.wire import AbortableAdapter, Exchange

__all__ = [
    "SentifydClient",
    "UpstreamBusy",
    "UpstreamError",
    "UpstreamMalformed",
    "UpstreamRejected",
    "UpstreamTooSlow",
    "UpstreamUnreachable",
]

MAX_GRANT_BYTES = 256 * 1024
MAX_DETAILS_BYTES = 4 * 1024
SLOT_WAIT_SECONDS = 1.0
MASK = "[masked]"
_RETRY_AFTER = re.compile(
    r"[0-9]{1,8}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)


class UpstreamError(ServiceError):
    """Sentifyd gave no grant."""


class UpstreamRejected(UpstreamError):
    """Sentifyd answered the login with an error of its own, which is passed on."""

    code = "upstream_rejected"
    error = "Authentication failed"

    def __init__(self, status: int, details: object, retry_after: str | None) -> None:
        super().__init__(headers={"Retry-After": retry_after} if retry_after else None)
        self.status = status
        self.details = details

    def body(self) -> JSON:
        """The documented error body; without `details` when upstream gave none worth passing on."""
        body = super().body()
        return body if self.details is None else {**body, "details": self.details}


class UpstreamMalformed(UpstreamError):
    """Sentifyd answered with something that is not a grant: a redirect, garbage, too much."""

    status = 502
    code = "upstream_malformed"
    error = "Sentifyd gave an unusable answer"


class UpstreamUnreachable(UpstreamError):
    """No connection to Sentifyd, or it broke."""

    status = 502
    code = "upstream_unreachable"
    error = "Sentifyd cannot be reached"


class UpstreamTooSlow(UpstreamError):
    """The exchange took longer than `UPSTREAM_TIMEOUT`."""

    status = 504
    code = "upstream_timeout"
    error = "Sentifyd took too long to answer"


class UpstreamBusy(UpstreamError):
    """Every login slot stayed taken."""

    status = 503
    code = "upstream_busy"
    error = "Too many logins are under way"

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class SentifydClient:
    """Logs in to Sentifyd on threads of its own, so that a slow upstream slows nothing else.

    Args:
        settings: key, login URL, timeout and concurrency.
    """

    def __init__(self, settings: Settings) -> None:
        self._key = settings.api_key
        self._timeout = settings.upstream_timeout
        self._session = _session(settings.upstream_concurrency)
        self._request = _login_request(settings)
        self._slots = asyncio.Semaphore(settings.upstream_concurrency)
        self._threads = ThreadPoolExecutor(settings.upstream_concurrency, "sentifyd-login")
        self._under_way: set[Exchange] = set()

    async def login(self) -> Grant:
        """One upstream login.

        Raises:
            UpstreamError: no grant within the time allowed; its subclass says why.
        """
        try:
            async with asyncio.timeout(SLOT_WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise UpstreamBusy from None
        exchange = Exchange()
        self._under_way.add(exchange)
        loop = asyncio.get_running_loop()

        def ended(_: Future[Grant]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._free_slot, exchange)

        try:
            future = self._threads.submit(self._exchange, exchange)
        except RuntimeError:
            # No thread could be started; without this the slot would be lost for ever.
            self._free_slot(exchange)
            raise
        # The slot belongs to the thread: a caller that gives up must not free it early.
        future.add_done_callback(ended)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise UpstreamTooSlow from None
        finally:
            exchange.abort()

    def close(self) -> None:
        """Cut off what is under way and let the threads end."""
        for exchange in self._under_way:
            exchange.abort()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    def _free_slot(self, exchange: Exchange) -> None:
        self._under_way.discard(exchange)
        self._slots.release()

    def _exchange(self, exchange: Exchange) -> Grant:
        """Runs in a login thread."""
        try:
            with (
                exchange.in_this_thread(),
                self._session.send(
                    self._request, stream=True, timeout=self._timeout, allow_redirects=False
                ) as response,
            ):
                return self._grant(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = _failure(error)
        except MalformedGrant:
            failure = UpstreamMalformed()
        # Outside the handlers, so that no exception of `requests` hangs on: they carry the key.
        raise failure

    def _grant(self, response: requests.Response) -> Grant:
        status = response.status_code
        if status == 200:
            return parse_grant(_parsed(_read(response, MAX_GRANT_BYTES), self._key))
        if not 400 <= status <= 599:
            raise MalformedGrant("the status is neither 200 nor an error")
        retry_after = response.headers.get("Retry-After", "")
        raise UpstreamRejected(
            status,
            _details(response, self._key),
            retry_after if _RETRY_AFTER.fullmatch(retry_after) else None,
        )


class _Session(requests.Session):
    """A session for which no answer is a redirect.

    Even when it follows none, `send` reads a redirect's whole body, to prepare the next request.
    """

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        return None


def _session(connections: int) -> requests.Session:
    session = _Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = AbortableAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _login_request(settings: Settings) -> requests.PreparedRequest:
    body = {"avatar_api_key": settings.api_key}
    if settings.avatar_id is not None:
        body["avatar_id"] = settings.avatar_id
    headers = {
        "Accept": "application/json",
        # A compressed answer could expand without limit; one that comes all the same is not JSON.
        "Accept-Encoding": "identity",
        "User-Agent": "mkdocs-sentifyd",
    }
    return requests.Request("POST", settings.login_url, json=body, headers=headers).prepare()


def _read(response: requests.Response, most: int) -> bytes:
    """The whole body as it was sent, at most `most` bytes of it; a larger one is malformed."""
    body = bytearray()
    while chunk := response.raw.read(most + 1 - len(body), decode_content=False):
        body += chunk
        if len(body) > most:
            raise MalformedGrant("the answer is too large")
    return bytes(body)


def _details(response: requests.Response, key: str) -> object:
    """The JSON of an error answer with the key masked, or `None` when there is none to pass on."""
    try:
        return _parsed(_read(response, MAX_DETAILS_BYTES), key)
    except MalformedGrant:
        return None


def _parsed(body: bytes, key: str) -> object:
    """The JSON of an answer, with the key masked wherever it stands."""
    try:
        return _masked(parse_json(body), key)
    except RecursionError:
        raise MalformedGrant("the answer is nested too deeply") from None


def _masked(value: object, key: str) -> object:
    if isinstance(value, str):
        return value.replace(key, MASK)
    if isinstance(value, list):
        return [_masked(item, key) for item in value]
    if isinstance(value, dict):
        return {name.replace(key, MASK): _masked(item, key) for name, item in value.items()}
    if isinstance(value, (int, float)) and str(value) == key:
        return MASK
    return value


def _failure(error: Exception) -> UpstreamError:
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return UpstreamTooSlow()
    if _is_garbage(error):
        return UpstreamMalformed()
    return UpstreamUnreachable()


def _is_garbage(error: BaseException | None) -> bool:
    """Whether something answered that does not speak HTTP, as the causes of an exception tell."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, http.client.HTTPException):
            return not isinstance(error, (ConnectionError, http.client.IncompleteRead))
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False
