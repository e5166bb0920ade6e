"""Check a token endpoint by calling it as a visitor's browser would (Fetch Standard, CORS)."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from mkdocs_sentifyd.check.findings import KINDS, Finding, finding

__all__ = ["check_endpoint", "origin_of"]

# RFC 2606 reserves this domain, so it cannot be a real site.
FOREIGN_ORIGIN = "https://foreign.example"
# Seconds to connect, and seconds between two bytes.
TIMEOUT = (5.0, 15.0)
# Seconds for a whole exchange.
DEADLINE = 20.0
# In bytes.
MAX_ANSWER = 1 << 20


def check_endpoint(url: str, origin: str, keys: Sequence[str]) -> list[Finding]:
    """Call a token endpoint as an avatar of the site would, and as a page of another site.

    This uses two logins at Sentifyd, and two more if the endpoint accepts foreign origins.

    Args:
        url: absolute URL of the endpoint.
        origin: the site's origin, such as `https://docs.example.com`.
        keys: API keys that must not appear in an answer.

    Returns:
        The problems found, without those that follow from another one. They never contain a token.
    """
    with requests.Session() as session:
        # requests would send credentials from ~/.netrc, which a browser does not do.
        session.auth = _no_credentials
        return list(_Endpoint(url, origin, keys, session).check())


def origin_of(url: str) -> str:
    """Return the origin of a URL as a browser writes it (HTML Standard, "ASCII serialization").

    Raises:
        ValueError: the URL is not an absolute http or https URL.
    """
    parts = urlsplit(url)
    host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    if not host or parts.scheme not in ("http", "https") or re.search(r"\s", parts.netloc):
        raise ValueError
    host = f"[{host}]" if ":" in host else host
    is_default = port in (None, {"http": 80, "https": 443}[parts.scheme])
    return f"{parts.scheme}://{host}" + ("" if is_default else f":{port}")


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class Answer(NamedTuple):
    """A complete answer of the endpoint."""

    status: int
    headers: Mapping[str, str]
    content: str


class _Endpoint:
    def __init__(
        self, url: str, origin: str, keys: Sequence[str], session: requests.Session
    ) -> None:
        self._url = url
        self._origin = origin
        self._keys = keys
        self._session = session
        self._is_same_origin = origin_of(url) == origin
        # Names of the problems that were found; a refresh has them too, for the same reason.
        self._found: set[str] = set()

    def check(self) -> Iterator[Finding]:
        try:
            preflight = list(self._preflight())
            refresh_token = yield from self._grant({})
            # Whatever else such an endpoint does wrong, follows from this.
            if refresh_token is None:
                return
            if "cors" not in self._found:
                yield from preflight
            yield from self._grant({"refreshToken": refresh_token})
            if not (yield from self._foreign_origin(FOREIGN_ORIGIN)):
                yield from self._foreign_origin("null")
        except requests.Timeout:
            yield self._finding("endpoint-timeout")
        except (requests.RequestException, HTTPError, UnicodeError) as error:
            # The library's error text contains the URL, and so the refresh token.
            yield self._finding("endpoint-unreachable", error=type(error).__name__)

    def _preflight(self) -> Iterator[Finding]:
        if self._is_same_origin:
            return
        answer = self._call("OPTIONS", self._origin, {}, {"Access-Control-Request-Method": "GET"})
        # A browser does not follow a redirect of a preflight.
        if not 200 <= answer.status < 300:
            yield self._finding("endpoint-preflight", status=answer.status)
        elif not self._allows(answer, self._origin):
            yield self._cors("the browser's preflight")

    def _grant(self, query: Mapping[str, str]) -> Generator[Finding, None, str | None]:
        """Request tokens, yield the problems, and return the refresh token.

        An answer that is no grant has one problem, and no refresh token.
        """
        answer = self._call("GET", self._origin, query)
        call, prefix = ("a refresh", "endpoint-refresh") if query else ("a first call", "endpoint")

        def found(name: str, **values: object) -> Iterator[Finding]:
            if name not in self._found:
                self._found.add(name)
                yield self._finding(f"endpoint-{name}", f"{prefix}-{name}", call=call, **values)

        payload = _parsed(answer.content)
        if any(key in text for key in self._keys for text in (answer.content, *_texts(payload))):
            yield from found("key")
        is_readable = self._is_same_origin or self._allows(answer, self._origin)
        if answer.status == 403 and not is_readable:
            yield self._cors(call)
            return None
        if answer.status != 200:
            key = f"endpoint-status-{answer.status}"
            yield self._finding(
                key if key in KINDS else "endpoint-status",
                f"{prefix}-status",
                call=call,
                status=answer.status,
            )
            return None
        refresh_token, problem = _read_grant(payload)
        if problem:
            yield from found("payload", problem=problem)
        if refresh_token is None:
            return None
        if not is_readable and "cors" not in self._found:
            self._found.add("cors")
            yield self._cors(call)
        if "no-store" not in answer.headers.get("Cache-Control", "").lower():
            yield from found("cacheable")
        allowed = answer.headers.get("Access-Control-Allow-Origin", "*")
        if allowed != "*" and "origin" not in answer.headers.get("Vary", "").lower():
            yield from found("vary")
        return refresh_token

    def _foreign_origin(self, origin: str) -> Generator[Finding, None, bool]:
        """Yield what is wrong with the answer to another origin; return whether it can read it."""
        answer = self._call("GET", origin, {})
        name = "an opaque origin (null)" if origin == "null" else "a foreign origin"
        if self._allows(answer, origin):
            yield self._finding("endpoint-foreign-origin", caller=name)
            return True
        if answer.status == 200 and "foreign-login" not in self._found:
            self._found.add("foreign-login")
            yield self._finding("endpoint-foreign-login", caller=name, status=answer.status)
        return False

    def _call(
        self,
        method: str,
        origin: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        is_own = self._is_same_origin and origin == self._origin
        sent = {
            "Accept": "*/*",
            "User-Agent": "mkdocs-sentifyd check",
            "Sec-Fetch-Dest": "empty",
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Site": "same-origin" if is_own else "cross-site",
            **({} if is_own else {"Origin": origin}),
            **(headers or {}),
        }
        outcome: list[Answer | Exception] = []

        def exchange() -> None:
            try:
                outcome.append(self._exchange(method, sent, query))
            except Exception as error:  # noqa: BLE001 - raised again in the calling thread
                outcome.append(error)

        # requests restarts its read timeout with every byte, so a slow server could block it.
        thread = threading.Thread(target=exchange, daemon=True)
        thread.start()
        thread.join(DEADLINE)
        if not outcome:
            raise requests.Timeout
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _exchange(
        self, method: str, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Answer:
        with self._session.request(
            method,
            self._url,
            params=dict(query),
            headers=dict(headers),
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,
        ) as answer:
            content = b""
            for chunk in answer.iter_content(1 << 14):
                content += chunk
                if len(content) > MAX_ANSWER:
                    break
            return Answer(answer.status_code, answer.headers, content.decode("utf-8", "replace"))

    def _allows(self, answer: Answer, origin: str) -> bool:
        return answer.headers.get("Access-Control-Allow-Origin") in (origin, "*")

    def _cors(self, call: str) -> Finding:
        return self._finding("endpoint-cors", origin=self._origin, call=call)

    def _finding(self, key: str, code: str | None = None, **values: object) -> Finding:
        return finding(key, self._url, code=code, severity=None, **values)


def _parsed(content: str) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _texts(value: object) -> Iterator[str]:
    """Every string in a JSON value, including the names of members."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _read_grant(answer: Any) -> tuple[str | None, str]:  # noqa: ANN401 - any JSON
    """Return the refresh token of an answer, and what is wrong with the answer ("" if nothing)."""
    if answer is None:
        return None, "not JSON"
    tokens = answer.get("tokens") if isinstance(answer, dict) else None
    if not isinstance(tokens, dict):
        return None, "no tokens"
    for name in ("accessToken", "refreshToken"):
        token = tokens.get(name)
        if not isinstance(token, str) or not token or not token.isascii():
            return None, f"no {name}"
    if not isinstance(answer.get("avatarParameters"), dict):
        return tokens["refreshToken"], "no avatarParameters"
    life = tokens.get("expiresIn", 1)
    if isinstance(life, bool) or not isinstance(life, (int, float)) or life <= 0:
        return tokens["refreshToken"], "expiresIn is not a positive number of seconds"
    return tokens["refreshToken"], ""
