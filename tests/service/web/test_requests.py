"""Any request gets a documented answer; Hypothesis generates the requests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import Message

from edge_service.app import create_app
from edge_service.sealing import new_key
from edge_service.settings import ForwardedRules, Settings
from edge_service.upstream.grant import Grant
from edge_service.upstream.logins import AvatarLogin
from tests.support.effort import examples
from tests.support.settings import ORIGIN, avatar_settings, settings_for

Headers = list[tuple[bytes, bytes]]
ALLOWED = ORIGIN.encode()
EVIL = b"https://evil.example"
NAMED = replace(
    settings_for(),
    avatars={
        "": avatar_settings(),
        "docs": avatar_settings(name="docs", policy="shared", allow_any_origin=True),
    },
)
SERVICES: dict[str, Settings] = {
    "plain": settings_for(),
    "strict": settings_for(require_origin=True),
    "forwarded": settings_for(
        visitor_auth=ForwardedRules(), trusted_proxies=(ip_network("127.0.0.0/8"),)
    ),
    "named": replace(NAMED, seal_keys=(new_key(),)),
}
GRANT = Grant(access_token="access", refresh_token="refresh", avatar_parameters={})
CODES = {400, 401, 403, 404, 405, 413, 415, 429}


@dataclass(frozen=True)
class Asked:
    """A request, as a server passes it to the application."""

    method: str = "POST"
    path: str = "/request_tokens"
    query: bytes = b""
    headers: Headers = field(default_factory=list)
    chunks: tuple[bytes, ...] = ()

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


class InProcess:
    """A service without a server and without an upstream, which counts its logins."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.logins = 0
        self.settings = replace(settings, rate_limit="999999/second")
        self._app: Starlette = create_app(self.settings)
        # In its own thread, because a browser test may have left a loop running in this one.
        self._thread = ThreadPoolExecutor(1)
        self._runner = self._thread.submit(asyncio.Runner).result()

        async def login(_: AvatarLogin) -> Grant:
            self.logins += 1
            return GRANT

        monkeypatch.setattr(AvatarLogin, "login", login)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._app.state.avatars.close())
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._thread.submit(self._runner.run, work).result()

    def ask(self, asked: Asked) -> Answer:
        messages: list[Message] = []
        parts = [*asked.chunks, b""]
        to_come: list[Message] = [
            {"type": "http.request", "body": part, "more_body": number < len(parts)}
            for number, part in enumerate(parts, 1)
        ]

        async def receive() -> Message:
            return to_come.pop(0) if to_come else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            messages.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": asked.method,
            "scheme": "http",
            "path": asked.path,
            "raw_path": asked.path.encode(),
            "root_path": "",
            "query_string": asked.query,
            "headers": list(asked.headers),
            "client": ("127.0.0.1", 1234),
            "server": ("127.0.0.1", 8080),
        }

        async def answer() -> None:
            await self._app(scope, receive, send)

        self._run(answer())
        start, *rest = messages
        assert start["type"] == "http.response.start"
        assert {message["type"] for message in rest} == {"http.response.body"}
        body = b"".join(message.get("body", b"") for message in rest)
        return Answer(start["status"], list(start["headers"]), body)

    def may_read(self, asked: Asked) -> bool:
        """Whether the requesting page may read the answer, by the rules of `SERVICES`."""
        origins = asked.values(b"origin")
        if len(origins) != 1:
            return False
        open_to_all = "docs" in self.settings.avatars and asked.path != "/request_tokens"
        is_origin_like = len(origins) == 1 and re.fullmatch(rb"[!-~]{1,512}", origins[0])
        return origins == [ALLOWED] or bool(open_to_all and is_origin_like and origins != [b"null"])


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    with InProcess(SERVICES[request.param], monkeypatch) as service:
        yield service


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    with InProcess(SERVICES["plain"], monkeypatch) as service:
        yield service


def header(name: bytes, *likely: bytes) -> st.SearchStrategy[Headers]:
    """A header that appears never, once or twice, with any value."""
    values = st.sampled_from(likely) | st.binary(max_size=80)
    return st.lists(values, max_size=2).map(lambda found: [(name, value) for value in found])


JSON_BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.just("refreshToken") | st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=8,
).map(lambda content: json.dumps(content).encode())
FORMS = st.lists(
    st.tuples(st.just("refreshToken") | st.text(max_size=9), st.text(max_size=20)), max_size=20
).map(lambda fields: urlencode(fields, errors="surrogatepass").encode())
BYTES = st.binary(max_size=200) | st.integers(4000, 9000).map(lambda size: b"a" * size)
TYPES = (
    b"application/json",
    b"application/x-www-form-urlencoded; charset=utf-8",
    b"APPLICATION/JSON;",
    b"text/plain",
)
REQUESTS = st.builds(
    Asked,
    method=st.sampled_from(["GET", "POST", "POST", "OPTIONS", "HEAD", "PUT", "get"]),
    path=st.sampled_from(["/request_tokens"] * 4 + ["/request_tokens/docs"] * 2)
    | st.sampled_from(["/request_tokens/", "/request_tokens/no", "/livez", "/openapi.json", "/"])
    | st.text(st.characters(codec="utf-8"), max_size=20).map("/request_tokens/{}".format),
    query=FORMS | BYTES,
    headers=st.tuples(
        header(b"origin", ALLOWED, ALLOWED, EVIL, b"null", ALLOWED + b"/"),
        header(b"sec-fetch-site", b"same-origin", b"cross-site", b"none"),
        header(b"content-type", *TYPES),
        header(b"content-length", b"0", b"5000", b"-1", b"\xb2"),
        header(b"x-forwarded-for", b"203.0.113.1", b"::1, 127.0.0.1", b",,"),
        header(b"x-forwarded-user", b"ann", b"\xff", b"a\x00"),
        header(b"x-request-id", b"abc-1", b"a\r\nSet-Cookie: a=b"),
        header(b"access-control-request-method", b"GET"),
        header(b"cookie", b"a=b; a=c"),
    ).map(lambda found: [one for some in found for one in some]),
    chunks=st.lists(JSON_BODIES | FORMS | BYTES, max_size=2).map(tuple),
)
SERVED: Headers = [(b"origin", ALLOWED), (b"x-forwarded-user", b"ann")]


@given(asked=REQUESTS)
@settings(
    max_examples=examples(80),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(asked=Asked(headers=SERVED))
@example(asked=Asked(headers=[*SERVED, (b"content-length", b"\xb2")]))
@example(asked=Asked(headers=[*SERVED, (b"content-length", b"9" * 5000)]))
@example(asked=Asked(headers=[*SERVED, (b"content-type", TYPES[0])], chunks=(b'"\xff', b"[" * 999)))
@example(asked=Asked(headers=[*SERVED, (b"content-type", TYPES[0])], chunks=(b"[" * 4000,)))
@example(asked=Asked(headers=[*SERVED, (b"content-type", TYPES[0])], chunks=(b"9" * 4096,)))
@example(
    asked=Asked(
        headers=[*SERVED, (b"content-type", TYPES[0])], chunks=(b'{"refreshToken":"\\ud800"}',)
    )
)
@example(asked=Asked(method="GET", headers=SERVED, query=b"refreshToken=%ed%a0%80"))
@example(asked=Asked(method="GET", path="/request_tokens/", headers=[(b"origin", EVIL)]))
def test_any_request_gets_a_documented_answer(service: InProcess, asked: Asked) -> None:
    before = service.logins

    answer = service.ask(asked)

    assert answer.status in {200, 204, *CODES}
    if answer.status < 400:
        assert asked.method in ("GET", "POST", "OPTIONS", "HEAD")
    if answer.status >= 400:
        assert service.logins == before
        assert answer.values(b"content-type") == [b"application/json"]
        reported = json.loads(answer.body)
        assert set(reported) == {"error", "code"}
        assert re.fullmatch("[a-z_]+", reported["code"])
        assert reported["error"]
    assert answer.values(b"cache-control") == [b"no-store"]
    assert answer.values(b"vary") == [b"Origin"]
    (request_id,) = answer.values(b"x-request-id")
    assert re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", request_id)
    readable = answer.values(b"access-control-allow-origin")
    assert readable == (asked.values(b"origin") if service.may_read(asked) else [])
    # The origin is copied from the request, in which no server accepts such bytes.
    others = [value for _, value in answer.headers if value not in readable]
    assert not any(byte in value for value in others for byte in b"\r\n\x00")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"refreshToken": "a"}', 200),
        ('{"refreshToken": null}', 200),
        ('{"other": 1, "other": 2, "refreshToken": "a"}', 200),
        ('{"refreshToken": "a", "refreshToken": "b"}', 400),
        ('{"refreshToken": "a", "refreshToken": "a"}', 400),
        ('{"refreshToken": null, "refreshToken": "a"}', 400),
        ('{"refreshToken": "a", "refresh\\u0054oken": "b"}', 400),
    ],
)
def test_refresh_token_may_be_given_only_once(plain: InProcess, body: str, status: int) -> None:
    answer = plain.ask(Asked(headers=[(b"content-type", TYPES[0])], chunks=(body.encode(),)))

    assert answer.status == status
    assert plain.logins == (status == 200)
    if status == 400:
        assert json.loads(answer.body) == {
            "error": "refreshToken is given more than once",
            "code": "bad_request",
        }


@pytest.mark.parametrize("declared", [b"4097", b"9" * 19, b"9" * 20, b"9" * 5000])
def test_body_with_a_too_large_content_length_is_not_read(
    plain: InProcess, declared: bytes
) -> None:
    answer = plain.ask(Asked(headers=[(b"content-length", declared)], chunks=(b"a",)))

    assert (answer.status, plain.logins) == (413, 0)
