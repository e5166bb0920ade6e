"""The stand-in keeps the vendor's contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import OctKey
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.sandbox.faults import Fault
from tests.service.conftest import KEY
from tests.support.servers import serving


def log_in(url: str, path: str = "/api/login", **body: object) -> requests.Response:
    return requests.post(url + path, json={"avatar_api_key": KEY, **body}, timeout=5)


def test_both_login_calls(sandbox_url: str) -> None:
    documented = log_in(sandbox_url).json()
    hosted = log_in(sandbox_url, "/api/v1/chatbot/login", avatar_id="avtr_1").json()

    assert set(documented["data"]) == {"access_token", "refresh_token", "avatar_params"}
    assert hosted["tokenType"] == "Bearer"
    assert {"accessToken", "refreshToken", "expiresIn", "avatarParameters"} <= set(hosted)


@pytest.mark.parametrize(
    ("body", "status"),
    [('{"avatar_api_key": "wrong"}', 401), ('{"avatar_api_key": 1}', 401), ("[]", 400), ("{", 400)],
)
def test_logins_that_are_refused(sandbox_url: str, body: str, status: int) -> None:
    assert requests.post(f"{sandbox_url}/api/login", body, timeout=5).status_code == status


@pytest.mark.parametrize(
    ("path", "element"),
    [
        ("/sentifyd-bot/main.js", "sentifyd-bot"),
        ("/element/bot.js", "sentifyd-bot"),
        ("/sentifyd-realtime/v1/main.js", "sentifyd-realtime"),
    ],
)
def test_the_loaders(sandbox_url: str, path: str, element: str) -> None:
    response = requests.get(sandbox_url + path, timeout=5)

    assert response.headers["Content-Type"].startswith("text/javascript")
    assert f'const ELEMENT = "{element}";' in response.text
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@contextmanager
def open_socket(url: str) -> Iterator[tuple[ClientConnection, str]]:
    data = log_in(url).json()["data"]
    with connect(data["avatar_params"]["websocket"]) as socket:
        yield socket, data["access_token"]


def close_code(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(10)
    assert closed.value.rcvd
    return closed.value.rcvd.code


def test_a_conversation_until_the_token_expires() -> None:
    with (
        serving(create_sandbox(Sandbox(KEY, token_life=1))) as url,
        open_socket(url) as (socket, token),
    ):
        socket.send(json.dumps({"accessToken": token}))
        assert json.loads(socket.recv(5))["type"] == "ready"
        socket.send(json.dumps({"text": "What is a token?"}))
        assert "What is a token?" in json.loads(socket.recv(5))["text"]
        assert close_code(socket) == 4401


def test_tokens_that_open_nothing(sandbox_url: str) -> None:
    refresh = log_in(sandbox_url).json()["data"]["refresh_token"]
    claims = {"iss": "sentifyd-sandbox", "use": "access", "exp": 4_000_000_000, "sub": "x"}
    forged = jwt.encode({"alg": "HS256"}, claims, OctKey.generate_key(256))
    for token in (refresh, forged, "x.y.z", "nonsense"):
        with open_socket(sandbox_url) as (socket, _):
            socket.send(json.dumps({"accessToken": token}))
            assert close_code(socket) == 4401


@pytest.mark.parametrize("message", ["{", "[]", '{"accessToken": 1}', '{"text": "hello"}', b"\x00"])
def test_malformed_messages(sandbox_url: str, message: str | bytes) -> None:
    with open_socket(sandbox_url) as (socket, _):
        socket.send(message)
        assert close_code(socket) == 4400


def test_faults_are_switched_over_http(sandbox_url: str, sandbox: Sandbox) -> None:
    control = f"{sandbox_url}/sandbox"
    on = requests.put(control, json={"kind": "status", "status": 503}, timeout=5)
    broken = log_in(sandbox_url)
    off = requests.delete(control, timeout=5)

    assert on.json() == {"logins": 0, "fault": "status"}
    assert broken.status_code == 503
    assert off.json() == {"logins": 1, "fault": None}
    assert log_in(sandbox_url).status_code == 200
    mistakes: list[object] = [
        *([], {}, {"kind": "fire"}, {"kind": "delay", "seconds": 1e9}, {"kind": "status", "x": 1}),
        *({"kind": "status", "retry_after": "a\r\nb: c"}, {"kind": "redirect", "location": 5}),
        *(
            {"kind": "delay", "seconds": "1"},
            {"kind": "flap", "count": 0},
            {"kind": "flap", "_turns": 1},
        ),
    ]
    for wrong in mistakes:
        answer = requests.put(control, json=wrong, timeout=5)
        assert answer.status_code == 400
        assert "Fault" not in answer.json()["error"]
        assert "_" not in answer.json()["error"].replace("retry_after", "")
    assert sandbox.fault is None


def test_a_delayed_login_is_a_login(sandbox_url: str, sandbox: Sandbox) -> None:
    sandbox.fault = Fault("delay", seconds=0.01)

    assert log_in(sandbox_url).status_code == 200


def test_an_upstream_that_comes_and_goes(sandbox_url: str, sandbox: Sandbox) -> None:
    for count in (2, 3):
        sandbox.fault = Fault("flap", status=502, count=count)
        statuses = [log_in(sandbox_url).status_code for _ in range(3 * count)]
        assert statuses == [502] * count + [200] * count + [502] * count


def test_a_bomb_is_small_until_it_is_unpacked(sandbox_url: str, sandbox: Sandbox) -> None:
    sandbox.fault = Fault("bomb")
    first, second = log_in(sandbox_url), log_in(sandbox_url)

    assert first.headers["Content-Encoding"] == "gzip"
    assert int(first.headers["Content-Length"]) < 64 * 1024
    assert len(first.content) > 32 * 1024 * 1024
    tokens = {response.json()["data"]["access_token"] for response in (first, second)}
    assert len(tokens) == 2
