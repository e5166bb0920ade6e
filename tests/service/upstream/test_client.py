"""The client's reaction to answers of Sentifyd, or of another server in its place."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from aiohttp import ClientSession

from edge_service.errors import UpstreamUnreachable
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.upstream.logins import AvatarLogin
from tests.support.clocks import in_a_loop
from tests.support.ports import free_port
from tests.support.servers import RawUpstream, http_answer
from tests.support.service import Service, StartService, assert_error
from tests.support.settings import KEY, ORIGIN, login_to
from tests.support.waiting import TIMEOUT

GRANT = json.dumps(
    {"data": {"access_token": "a", "refresh_token": "r", "avatar_params": {"voice": "x"}}}
).encode()


def answer_with(*data: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        for part in data:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_RDWR)

    return behave


def call(
    start: StartService, behave: Callable[[socket.socket], None], *, attempts: int = 1
) -> requests.Response:
    with RawUpstream(behave) as upstream:
        response = start(upstream.url, UPSTREAM_TIMEOUT="2").get()
        assert len(upstream.received) == attempts
    return response


def bodies(**changes: object) -> bytes:
    fields: dict[str, object] = {"access_token": "a", "refresh_token": "r", "avatar_params": {}}
    fields.update(changes)
    return json.dumps({name: value for name, value in fields.items() if value != "-"}).encode()


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (GRANT, {"accessToken": "a", "refreshToken": "r"}),
        (bodies(), {"accessToken": "a", "refreshToken": "r"}),
        (
            b'{"accessToken": "a", "refreshToken": "r", "avatarParameters": {}, '
            b'"tokenType": "Bearer", "expiresIn": 60}',
            {"accessToken": "a", "refreshToken": "r", "tokenType": "Bearer", "expiresIn": 60},
        ),
        (
            bodies(token_type="Bearer", expires_in=60.5, unknown="x"),
            {"accessToken": "a", "refreshToken": "r", "tokenType": "Bearer", "expiresIn": 60},
        ),
        (
            bodies(token_type=3, expires_in="soon"),
            {"accessToken": "a", "refreshToken": "r"},
        ),
        (bodies(expires_in=True), {"accessToken": "a", "refreshToken": "r"}),
        (bodies(expires_in=-1, token_type=""), {"accessToken": "a", "refreshToken": "r"}),
        (bodies(avatar_params={"name": "\ud800"}), {"accessToken": "a", "refreshToken": "r"}),
    ],
)
def test_both_documented_answer_formats_are_accepted(
    start_service: StartService, body: bytes, tokens: dict[str, object]
) -> None:
    response = call(start_service, answer_with(http_answer("200 OK", body)))

    assert response.status_code == 200
    assert response.json()["tokens"] == tokens


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'"text"',
        b"null",
        b'{"data": {}}',
        b"\xff\xfe",
        b"[" * 100_000,
        bodies(access_token="-"),
        bodies(access_token=""),
        bodies(access_token=7),
        bodies(refresh_token=None),
        bodies(avatar_params="text"),
        bodies(avatar_params=[1]),
        b'{"access_token": "a", "refresh_token": "r", "avatar_params": {"x": NaN}}',
        b'{"access_token": "a", "refresh_token": "r", "avatar_params": {"x": 1e999}}',
    ],
    ids=range(16),
)
def test_200_without_a_grant_gives_502(start_service: StartService, body: bytes) -> None:
    assert_error(
        call(start_service, answer_with(http_answer("200 OK", body))), 502, "upstream_malformed"
    )


@pytest.mark.parametrize("status", ["201 Created", "204 No Content", "304 Not Modified", "999 Odd"])
def test_status_that_is_neither_200_nor_an_error_gives_502(
    start_service: StartService, status: str
) -> None:
    assert_error(
        call(start_service, answer_with(http_answer(status, b""))), 502, "upstream_malformed"
    )


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temp", "308 Perm"])
def test_redirect_is_not_followed_with_the_key(start_service: StartService, status: str) -> None:
    with RawUpstream(answer_with(http_answer("200 OK", GRANT))) as elsewhere:
        redirect = http_answer(status, b"", f"Location: {elsewhere.url}/api/login")
        response = call(start_service, answer_with(redirect))
        assert elsewhere.received == []

    assert_error(response, 502, "upstream_malformed")
    assert "Location" not in response.headers


def test_body_of_a_redirect_is_not_read(start_service: StartService) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://[bad\r\n\r\n")
        while True:
            sent += connection.send(b"a" * 65536)

    assert_error(call(start_service, flood), 502, "upstream_malformed")
    assert sent < 16 * 1024 * 1024


def test_slot_is_released_after_an_unforeseen_error(
    start_service: StartService, sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start_service(sandbox_url, UPSTREAM_CONCURRENCY="1")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("unforeseen")

    assert service.get().status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(ClientSession, "request", fail)
        assert_error(service.get(), 500, "internal_error")
    assert service.get().status_code == 200


@pytest.mark.parametrize("hint", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_interim_responses_are_skipped(start_service: StartService, hint: str) -> None:
    """A response with a 1xx status is followed by the real one (RFC 9110, section 15.2)."""
    interim = f"HTTP/1.1 {hint}\r\nLink: </a.css>; rel=preload\r\n\r\n".encode()
    response = call(start_service, answer_with(interim * 2, http_answer("200 OK", GRANT)))

    assert response.status_code == 200


def test_key_echoed_in_a_grant_is_masked(start_service: StartService) -> None:
    body = bodies(token_type=KEY, avatar_params={"key": KEY, KEY: [f"x{KEY}"]})
    response = call(start_service, answer_with(http_answer("200 OK", body)))

    assert response.status_code == 200
    assert KEY not in response.text
    assert response.json()["avatarParameters"] == {"key": "[masked]", "[masked]": ["x[masked]"]}


def test_numeric_key_is_masked_in_numbers(start_service: StartService) -> None:
    reply = http_answer("401 No", b'{"sent": 12345678901}')
    with RawUpstream(answer_with(reply)) as upstream:
        response = start_service(upstream.url, AVATAR_API_KEY="12345678901").get()

    assert response.json()["details"] == {"sent": "[masked]"}


@pytest.mark.parametrize("depth", [300, 600, 950, 5000])
def test_deep_nesting_causes_no_internal_error(start_service: StartService, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    body = b'{"access_token": "a", "refresh_token": "r", "avatar_params": {"x": ' + nested + b"}}"

    assert call(start_service, answer_with(http_answer("200 OK", body))).status_code in (200, 502)


def test_redirect_of_the_sandbox_gives_502(service: Service, sandbox: Sandbox) -> None:
    sandbox.fault = Fault("redirect", location="/api/login")

    assert_error(service.get(), 502, "upstream_malformed")
    assert sandbox.logins == 1


@pytest.mark.parametrize("kind", ["garbage", "oversized"])
def test_unusable_answer_of_the_sandbox_gives_502(
    service: Service, sandbox: Sandbox, kind: str
) -> None:
    sandbox.fault = Fault(kind)  # type: ignore[arg-type]
    assert_error(service.get(), 502, "upstream_malformed")

    sandbox.fault = None
    assert service.get().status_code == 200


def test_endless_answer_is_cut_off(start_service: StartService) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += connection.send(b"a" * 65536)

    assert_error(call(start_service, flood), 502, "upstream_malformed")
    assert sent < 16 * 1024 * 1024


def test_size_of_a_grant_is_limited(start_service: StartService) -> None:
    for size, status in ((250_000, 200), (270_000, 502)):
        body = bodies(avatar_params={"voice": "x" * size})
        assert call(start_service, answer_with(http_answer("200 OK", body))).status_code == status


def test_compressed_answer_is_never_decompressed(start_service: StartService) -> None:
    bomb = gzip.compress(b" " * 50_000_000 + GRANT)
    assert len(bomb) < 256 * 1024
    reply = http_answer("200 OK", bomb, "Content-Encoding: gzip")

    assert_error(call(start_service, answer_with(reply)), 502, "upstream_malformed")


@pytest.mark.parametrize(
    ("reply", "code", "attempts"),
    [
        # Only a connection that closes before any answer is retried, once.
        (b"", "upstream_unreachable", 2),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "upstream_malformed", 1),
        (b"\x00\x01\x02" * 100 + b"\r\n\r\n", "upstream_malformed", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", "upstream_unreachable", 1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "upstream_unreachable", 1),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "upstream_malformed",
            1,
        ),
    ],
)
def test_incomplete_or_non_http_answer_gives_502(
    start_service: StartService, reply: bytes, code: str, attempts: int
) -> None:
    assert_error(call(start_service, answer_with(reply), attempts=attempts), 502, code)


def test_login_is_retried_if_a_kept_connection_closes(
    start_service: StartService,
) -> None:
    """The server closes it after the second request has been sent on it."""
    turn = iter(["well_behaved", "close", "well_behaved"])

    def behave(connection: socket.socket) -> None:
        if next(turn) == "close":
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.sendall(http_answer("200 OK", GRANT))

    with RawUpstream(behave) as upstream:
        service = start_service(upstream.url)
        assert [service.get().status_code for _ in range(2)] == [200, 200]
        assert len(upstream.received) == 3


def test_reset_connection_gives_502(start_service: StartService) -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    assert_error(call(start_service, reset, attempts=2), 502, "upstream_unreachable")


def test_reset_of_the_sandbox_gives_502(service: Service, sandbox: Sandbox) -> None:
    sandbox.fault = Fault("reset")

    assert_error(service.get(), 502, "upstream_unreachable")


def test_refused_connection_gives_502(start_service: StartService) -> None:
    port = free_port()

    assert_error(start_service(f"http://127.0.0.1:{port}").get(), 502, "upstream_unreachable")


@pytest.mark.parametrize(
    "where",
    [
        "silent",
        "in the headers",
        "in the body",
        "in the body of a last response",
        "in a body without length",
    ],
)
def test_deadline_applies_to_the_whole_exchange(start_service: StartService, where: str) -> None:
    """A slow peer resets a socket's timeout with every byte, but not the deadline.

    With one slot, the second answer also proves that the exchange has ended, not only the caller.
    """
    well_behaved = threading.Event()

    def behave(connection: socket.socket) -> None:
        if well_behaved.is_set():
            connection.sendall(http_answer("200 OK", GRANT))
        elif where == "silent":
            upstream.over.wait(20)
        else:
            # http.client closes a connection that the peer does not keep before it reads the body.
            extra = ["Connection: close"] if where == "in the body of a last response" else []
            reply = http_answer("200 OK", GRANT, *extra)
            if where == "in a body without length":
                reply = b"HTTP/1.0 200 OK\r\n\r\n" + GRANT
            start = 10 if where == "in the headers" else reply.index(b"\r\n\r\n") + 4
            connection.sendall(reply[:start])
            upstream.drip(connection, reply[start:], 0.2)

    with RawUpstream(behave) as upstream:
        service = start_service(upstream.url, UPSTREAM_TIMEOUT="1.5", UPSTREAM_CONCURRENCY="1")
        began = time.monotonic()
        assert_error(service.get(), 504, "upstream_timeout")
        assert time.monotonic() - began < 3

        well_behaved.set()
        assert service.get().status_code == 200


def test_deadline_applies_to_a_reused_connection(
    start_service: StartService,
) -> None:
    turn = iter(["well_behaved", "drip", "well_behaved"])

    def behave(connection: socket.socket) -> None:
        reply = http_answer("200 OK", GRANT)
        if next(turn) == "drip":
            upstream.drip(connection, reply, 0.2)
        else:
            connection.sendall(reply)

    with RawUpstream(behave) as upstream:
        service = start_service(upstream.url, UPSTREAM_TIMEOUT="1.5", UPSTREAM_CONCURRENCY="1")
        assert [service.get().status_code for _ in range(3)] == [200, 504, 200]


def test_slow_sandbox_gives_504(
    start_service: StartService, sandbox: Sandbox, sandbox_url: str
) -> None:
    sandbox.fault = Fault("drip", seconds=0.2)
    service = start_service(sandbox_url, UPSTREAM_TIMEOUT="0.5")

    assert_error(service.get(), 504, "upstream_timeout")


def test_no_free_slot_within_a_second_gives_503(start_service: StartService) -> None:
    arrived, answer = threading.Event(), threading.Event()

    def behave(connection: socket.socket) -> None:
        arrived.set()
        answer.wait(10)
        connection.sendall(http_answer("200 OK", GRANT))

    with RawUpstream(behave) as upstream, ThreadPoolExecutor(1) as visitors:
        service = start_service(upstream.url, UPSTREAM_CONCURRENCY="1", UPSTREAM_TIMEOUT="10")
        first = visitors.submit(service.get)
        assert arrived.wait(5)

        began = time.monotonic()
        second = service.get()
        assert 0.8 < time.monotonic() - began < 3
        alive = requests.get(f"{service.base}/livez", timeout=5)
        answer.set()

        assert_error(second, 503, "upstream_busy")
        assert second.headers["Retry-After"] == "1"
        assert alive.status_code == 200
        assert first.result(10).status_code == 200


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (b'{"message": "no"}', {"message": "no"}),
        (
            json.dumps({"sent": {KEY: [f"key={KEY};"]}}).encode(),
            {"sent": {"[masked]": ["key=[masked];"]}},
        ),
        (b'["a", 1, null]', ["a", 1, None]),
        (b"<html>no</html>", None),
        (b"", None),
        (b'"' + b"a" * 5000 + b'"', None),
    ],
)
def test_error_details_are_small_json_with_masked_key(
    start_service: StartService, body: bytes, details: object
) -> None:
    response = call(start_service, answer_with(http_answer("418 Teapot", body)))

    assert_error(response, 418, "upstream_rejected", "Authentication failed")
    assert response.json().get("details") == details
    assert ("details" in response.json()) == (details is not None)


@pytest.mark.parametrize(
    ("sent", "passed_on"),
    [
        ("120", "120"),
        ("Fri, 20 Nov 2026 08:00:00 GMT", "Fri, 20 Nov 2026 08:00:00 GMT"),
        (KEY, None),
        ("-1", None),
    ],
)
def test_only_a_valid_retry_after_is_passed_on(
    start_service: StartService, sent: str, passed_on: str | None
) -> None:
    reply = http_answer("503 Busy", b"{}", f"Retry-After: {sent}")

    response = call(start_service, answer_with(reply))

    assert response.headers.get("Retry-After") == passed_on


def test_one_connection_serves_many_logins(start_service: StartService) -> None:
    connections = []

    def behave(connection: socket.socket) -> None:
        connections.append(connection)
        connection.sendall(http_answer("200 OK", GRANT))

    with RawUpstream(behave) as upstream:
        service = start_service(upstream.url)
        assert [service.get().status_code for _ in range(5)] == [200] * 5

    assert len(connections) == 5
    assert len(set(map(id, connections))) == 1


def test_cookies_and_proxy_variables_are_ignored(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = ("Set-Cookie: session=abc; Path=/", "Connection: close")
    requests_seen = []

    def behave(connection: socket.socket) -> None:
        requests_seen.append(upstream.received[-1])
        answer_with(http_answer("200 OK", GRANT, *headers))(connection)

    with RawUpstream(behave) as upstream, RawUpstream(answer_with(b"")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        service = start_service(upstream.url)
        session = requests.Session()
        session.trust_env = False
        for _ in range(2):
            response = session.get(service.url, headers={"Origin": ORIGIN}, timeout=5)
            assert response.status_code == 200
            assert "Set-Cookie" not in response.headers
        assert proxy.received == []

    assert len(requests_seen) == 2
    assert all(b"cookie" not in request.lower() for request in requests_seen)


def test_close_cuts_off_a_pending_login() -> None:
    def hang(_: socket.socket) -> None:
        upstream.over.wait(60)

    async def close_during_a_login() -> None:
        client, outbound = login_to(upstream.url, timeout=60)
        login = asyncio.create_task(client.login())
        assert await asyncio.to_thread(upstream.arrived.wait, 5)
        await outbound.aclose()
        with pytest.raises(UpstreamUnreachable):
            await asyncio.wait_for(login, 5)

    with RawUpstream(hang) as upstream:
        in_a_loop(close_during_a_login())


def test_connections_that_closed_while_the_process_was_frozen_fail_no_login() -> None:
    """Serverless platforms freeze a process: it learns of a closed connection only afterwards."""
    together = threading.Barrier(2)

    def behave(connection: socket.socket) -> None:
        if len(upstream.received) <= 2:
            together.wait(TIMEOUT)
        connections.append(connection)
        connection.sendall(http_answer("200 OK", GRANT))

    async def freeze_between_logins() -> None:
        login, client = login_to(upstream.url)
        await asyncio.gather(login.login(), login.login())
        # Nothing runs in the event loop until the next login has chosen its connection.
        for connection in connections[:2]:
            connection.shutdown(socket.SHUT_RDWR)
        await login.login()
        await client.aclose()

    connections: list[socket.socket] = []
    with RawUpstream(behave) as upstream:
        in_a_loop(freeze_between_logins())


def test_login_works_in_every_event_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Some serverless platforms use a new event loop for each request."""
    login: AvatarLogin | None = None

    async def log_in() -> None:
        nonlocal login
        login = login or login_to(upstream.url)[0]
        await login.login()

    with RawUpstream(answer_with(http_answer("200 OK", GRANT))) as upstream:
        for _ in range(3):
            in_a_loop(log_in())
        assert login is not None
        in_a_loop(login.close())
    gc.collect()

    assert caplog.messages == []


def test_avatars_of_one_upstream_share_no_connection(
    start_service: StartService, tmp_path: Path
) -> None:
    """A duplicate answer must not reach another avatar's visitor."""
    used: dict[int, set[bytes]] = {}

    def behave(connection: socket.socket) -> None:
        key = upstream.received[-1].partition(b"\r\n\r\n")[2]
        used.setdefault(id(connection), set()).add(key)
        connection.sendall(http_answer("200 OK", GRANT))

    path = tmp_path / "avatars.toml"
    path.write_text('[[avatars]]\nid = "shop"\nkey = "canary-key-shop"\n')
    with RawUpstream(behave) as upstream:
        service = start_service(upstream.url, AVATARS_FILE=str(path))
        for avatar in ("", "/shop") * 3:
            assert service.get(avatar).status_code == 200

    assert sorted(len(keys) for keys in used.values()) == [1, 1]
