"""Canaries: a key and tokens that must appear only where they belong."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

import pytest
import structlog

from edge_service.app import create_app
from edge_service.errors import UpstreamError
from edge_service.issuing.policy import GrantRequest
from edge_service.sandbox.app import Sandbox
from edge_service.sealing import Sealer, new_key
from edge_service.telemetry import configure_logging, logs
from edge_service.upstream.grant import Grant
from edge_service.upstream.logins import AvatarLogin
from tests.support.processes import Command
from tests.support.servers import RawUpstream, http_answer, serving
from tests.support.service import Service
from tests.support.settings import KEY, ORIGIN, login_to, settings_for
from tests.support.waiting import until

ACCESS, REFRESH, SENT_BACK = "canary-access-1a", "canary-refresh-2b", "canary-sent-back-3c"
CANARIES = (KEY, ACCESS, REFRESH, SENT_BACK)

GRANT = json.dumps(
    {"data": {"access_token": ACCESS, "refresh_token": REFRESH, "avatar_params": {}}}
).encode()
ECHO = json.dumps({"your_key": KEY, KEY: [f"Bearer {KEY}"]}).encode()

# Every way in which an upstream might return the key.
ANSWERS = [
    http_answer("200 OK", GRANT),
    http_answer("401 Unauthorized", ECHO),
    http_answer("500 Oops", ECHO, f"Retry-After: {KEY}", f"X-Key: {KEY}"),
    http_answer("200 OK", ECHO),
    http_answer("200 OK", b"not json " + KEY.encode()),
    http_answer("302 Found", b"", f"Location: http://127.0.0.1:9/?key={KEY}"),
    f"HTTP/1.1 2{KEY}\r\n\r\n".encode(),
    f"{KEY}\r\n\r\n".encode(),
    f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode(),
    f"HTTP/1.1 200 OK\r\nContent-Length: {KEY}\r\nBroken{KEY}\r\n\r\n".encode(),
    b"",
]


@pytest.fixture
def logging_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Restored at the end.
    monkeypatch.setattr(logs, "_access_output", None)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    # The last one repeats, because a login without an answer is retried.
    turn = chain(ANSWERS, repeat(b""))

    def behave(connection: socket.socket) -> None:
        connection.sendall(next(turn))
        connection.shutdown(socket.SHUT_RDWR)

    with RawUpstream(behave) as raw:
        yield raw


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_answers_and_logs_contain_no_secret(upstream: RawUpstream, log_format: str) -> None:
    with Command(
        *("sentifyd-edge", "serve", "--port", "0"),
        AVATAR_API_KEY=KEY,
        ALLOWED_ORIGINS=ORIGIN,
        SENTIFYD_BACKEND=upstream.url,
        LOG_LEVEL="debug",
        LOG_FORMAT=log_format,
    ) as command:
        pattern = r'"port": (\d+)' if log_format == "json" else r"port=(\d+)"
        service = Service(f"http://127.0.0.1:{command.wait_for(pattern)[1]}")
        query = f"?refreshToken={SENT_BACK}"
        answers = [service.get(query) for _ in ANSWERS]
        answers += [
            service.get(query + "&refreshToken=again"),
            service.get(query, origin="https://evil.example"),
            service.call("PUT", query),
            service.call("POST", data=json.dumps({"refreshToken": [SENT_BACK]})),
            service.call("POST", data=f"refreshToken={SENT_BACK}&refreshToken={SENT_BACK}"),
        ]
        status = command.stop()

    assert status == 0
    assert len(upstream.received) > len(ANSWERS)
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 403, 405, 500, 502}
    for answer in answers:
        output = answer.text + str(answer.headers)
        assert KEY not in output
        assert SENT_BACK not in output
        if answer.status_code != 200:
            assert ACCESS not in output
            assert REFRESH not in output
    assert command.output.count("/request_tokens") == len(answers)
    for canary in CANARIES:
        assert canary not in command.output


@pytest.mark.usefixtures("logging_restored")
def test_unexpected_error_logs_its_location_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def explode(_: AvatarLogin) -> Grant:
        raise RuntimeError(f"{KEY} {ACCESS}")

    monkeypatch.setattr(AvatarLogin, "login", explode)
    configure_logging("debug", "json")
    output = ""

    def is_logged() -> bool:
        nonlocal output
        output += "".join(capsys.readouterr())
        return '"event": "request"' in output

    with serving(create_app(settings_for())) as url:
        response = Service(url).get()
        # The event loop writes log lines a moment later.
        until(is_logged)

    assert response.status_code == 500
    assert response.json() == {"error": "Internal server error", "code": "internal_error"}
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert '"exception": "RuntimeError"' in output
    assert "explode" in output
    for canary in CANARIES:
        assert canary not in output + response.text


@pytest.mark.usefixtures("logging_restored")
def test_log_lines_of_libraries_contain_no_exception_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", "json")

    def fail() -> None:
        try:
            raise ValueError(KEY)
        except ValueError:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")

    # In its own thread, because a browser test may have left a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(fail).result()
    output = capsys.readouterr().out
    assert '"exception": "ValueError"' in output
    assert KEY not in output


def test_repr_contains_no_secret() -> None:
    keys = (new_key(),)
    settings = settings_for(seal_keys=keys, redis_url=f"redis://:{KEY}@localhost")
    login, _ = login_to("http://127.0.0.1:1")
    things: list[object] = [
        settings,
        settings.avatars[""],
        login,
        vars(login).get("_request"),
        Sealer(keys),
        Sandbox(KEY),
        GrantRequest(SENT_BACK),
        Grant(access_token=ACCESS, refresh_token=REFRESH, avatar_parameters={"a": ACCESS}),
    ]

    for thing in things:
        for canary in (*CANARIES, *keys):
            assert canary not in f"{thing!r} {thing}"


def test_upstream_error_contains_no_secret(upstream: RawUpstream) -> None:
    """Exceptions of aiohttp contain headers of the response: none may be chained."""

    async def collect() -> list[BaseException]:
        client, outbound = login_to(upstream.url)
        caught: list[BaseException] = []
        for _ in ANSWERS:
            try:
                await client.login()
            except UpstreamError as error:
                caught.append(error)
        await outbound.aclose()
        return caught

    # In its own thread, because a browser test may have left a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        errors = pool.submit(asyncio.run, collect()).result()

    assert len(errors) == len(ANSWERS) - 1
    for error in errors:
        assert error.__cause__ is None
        assert not isinstance(error.__context__, (OSError, ValueError))
        assert KEY not in f"{error!r} {error} {vars(error)}"
