"""The stand-in keeps the vendor's contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import OctKey
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from edge_service.sandbox import conversation
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.sandbox.faults import Fault
from tests.support.servers import serving
from tests.support.settings import KEY


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


@pytest.mark.parametrize(
    "message",
    [
        *("{", "[]", '{"accessToken": 1}', '{"text": "hello"}', b"\x00"),
        *('{"accessToken": "x", "actions": 1}', '{"accessToken": "x", "actions": [{}]}'),
        *("[" * 60_000, json.dumps({"accessToken": "x", "padding": "x" * 65_536})),
    ],
)
def test_malformed_messages(sandbox_url: str, message: str | bytes) -> None:
    with open_socket(sandbox_url) as (socket, _):
        socket.send(message)
        assert close_code(socket) == 4400


SEARCH = {"name": "docs.search", "description": "Search.", "inputSchema": {"type": "object"}}
OPEN_PAGE = {**SEARCH, "name": "docs.open_page", "description": "Open a page."}
HIT = {"title": "Install", "section": "With pip", "url": "https://docs.example/a/#b"}
ECHO = "You wrote: “Hi”."


def hear(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(socket.recv(5))
    return message


def say(socket: ClientConnection, **message: object) -> None:
    socket.send(json.dumps(message))


@contextmanager
def connected(url: str, *actions: object) -> Iterator[tuple[ClientConnection, str]]:
    """A component whose page has these actions, and how it was greeted."""
    with open_socket(url) as (socket, token):
        say(socket, accessToken=token, actions=actions)
        ready = hear(socket)
        assert ready["type"] == "ready"
        yield socket, ready["greeting"]


def test_a_question_is_answered_from_the_search_of_the_page(sandbox_url: str) -> None:
    with connected(sandbox_url, SEARCH) as (socket, greeting):
        assert "search this site" in greeting
        assert "open" not in greeting
        say(socket, text="How?")
        call = hear(socket)
        assert call == {
            "type": "call",
            "call": 1,
            "name": "docs.search",
            "arguments": {"query": "How?", "limit": 3},
        }
        scripts = {"title": "Bad", "url": "javascript:alert(1)", "excerpt": ""}
        hits = [{**HIT, "excerpt": "Run \ud83d."}, scripts, {"title": 1}]
        say(socket, call=1, result={"results": hits})
        answer = hear(socket)
        assert "found these pages" in answer["text"]
        assert "only searches" in answer["text"]
        assert answer["links"] == [
            {"text": "Install: With pip", "url": HIT["url"], "excerpt": "Run \ud83d."}
        ]

        say(socket, text="x" * 500)
        assert hear(socket)["arguments"]["query"] == "x" * 200
        say(socket, call=2, result={"results": []})
        assert "found nothing" in hear(socket)["text"]


def test_open_takes_the_visitor_to_the_best_page(sandbox_url: str) -> None:
    with connected(sandbox_url, SEARCH, OPEN_PAGE) as (socket, greeting):
        assert "open" in greeting
        say(socket, text="Open the install guide")
        assert hear(socket)["arguments"]["query"] == "the install guide"
        say(socket, call=1, result={"results": [HIT, HIT]})
        assert [link["url"] for link in hear(socket)["links"]] == [HIT["url"]]
        call = hear(socket)
        assert (call["name"], call["arguments"]) == ("docs.open_page", {"url": HIT["url"]})
        say(socket, call=2, error="there is no such page")
        assert hear(socket)["text"] == "That did not work: there is no such page."


def test_open_on_a_page_that_cannot_open_others(sandbox_url: str) -> None:
    with connected(sandbox_url, SEARCH) as (socket, _):
        say(socket, text="open install")
        assert hear(socket)["arguments"]["query"] == "install"
        say(socket, call=1, result={"results": [HIT, HIT]})
        assert len(hear(socket)["links"]) == 2


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        ({"refused": True}, "You did not allow it, so I did nothing."),
        ({"error": "no network"}, "That did not work: no network."),
        ({"result": {"results": 1}}, "That did not work: docs.search returned no list of results."),
        ({"result": None}, "That did not work: docs.search returned no list of results."),
    ],
)
def test_a_search_that_does_not_work(
    sandbox_url: str, outcome: dict[str, object], answer: str
) -> None:
    with connected(sandbox_url, SEARCH) as (socket, _):
        say(socket, text="How?")
        hear(socket)
        say(socket, call=1, **outcome)
        assert hear(socket)["text"] == answer


def test_actions_that_come_later(sandbox_url: str) -> None:
    with connected(sandbox_url) as (socket, greeting):
        assert "repeat" in greeting
        say(socket, text="Hi")
        assert hear(socket)["text"].startswith(ECHO)
        say(socket, actions=[SEARCH])
        heard = hear(socket)
        assert heard["type"] == "greeting"
        assert "search" in heard["text"]
        say(socket, text="Hi")
        assert hear(socket)["type"] == "call"


def test_a_page_that_does_not_answer(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "CALL_SECONDS", 0.1)
    with connected(sandbox_url, SEARCH) as (socket, _):
        say(socket, text="How?")
        hear(socket)
        assert hear(socket)["text"] == "That did not work: it took too long."
        say(socket, call=1, result={"results": [HIT]})
        say(socket, actions=[])
        assert hear(socket)["type"] == "greeting"
        say(socket, text="Hi")
        assert hear(socket)["text"].startswith(ECHO)


def test_messages_wait_for_the_answer_before_them(sandbox_url: str) -> None:
    with connected(sandbox_url, SEARCH) as (socket, _):
        for text in ("first", "second", "third"):
            say(socket, text=text)
        for number, text in enumerate(("first", "second", "third"), 1):
            call = hear(socket)
            assert (call["call"], call["arguments"]["query"]) == (number, text)
            say(socket, call=number, result={"results": []})
            assert hear(socket)["type"] == "message"


def test_an_answer_under_way_outlives_the_token() -> None:
    with (
        serving(create_sandbox(Sandbox(KEY, token_life=1))) as url,
        connected(url, SEARCH) as (socket, _),
    ):
        say(socket, text="How?")
        hear(socket)
        with pytest.raises(TimeoutError):  # it lives for less than two seconds
            socket.recv(2.2)
        say(socket, call=1, result={"results": []})
        assert "found nothing" in hear(socket)["text"]
        assert close_code(socket) == 4401


@pytest.mark.parametrize(
    "messages",
    [
        [{"call": 2, "result": 1}],
        [{"call": "1", "result": 1}],
        [{"call": 1}],
        [{"call": 1, "result": 1, "error": "x"}],
        [{"call": 1, "error": 1}],
        [{"call": 1, "refused": False}],
        [{"call": 1, "result": "x" * 65_536}],
        [{"call": 1, "refused": True}, {"call": 1, "refused": True}],
        [{"text": "x" * 2001}],
        [{"text": "x", "more": 1}],
        [{"text": "x"}] * 9,
        [{"actions": [{**SEARCH, "name": "a b"}]}],
        [{"actions": [{**SEARCH, "inputSchema": "{}"}]}],
        [{"actions": {}}],
        [{}],
    ],
)
def test_messages_that_have_no_place(sandbox_url: str, messages: list[dict[str, object]]) -> None:
    with connected(sandbox_url, SEARCH) as (socket, _):
        say(socket, text="How?")
        assert hear(socket)["type"] == "call"
        for message in messages:
            say(socket, **message)
        if messages[0] == messages[-1] == {"call": 1, "refused": True}:
            assert hear(socket)["type"] == "message"
        assert close_code(socket) == 4400


def test_a_result_that_nobody_asked_for(sandbox_url: str) -> None:
    with connected(sandbox_url, SEARCH) as (socket, _):
        say(socket, call=1, result={"results": []})
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
