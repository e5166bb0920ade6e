"""The sandbox implements the vendor's contract."""

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


def test_both_login_calls_return_their_documented_fields(sandbox_url: str) -> None:
    documented = log_in(sandbox_url).json()
    hosted = log_in(sandbox_url, "/api/v1/chatbot/login", avatar_id="avtr_1").json()

    assert set(documented["data"]) == {"access_token", "refresh_token", "avatar_params"}
    assert hosted["tokenType"] == "Bearer"
    assert {"accessToken", "refreshToken", "expiresIn", "avatarParameters"} <= set(hosted)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *(('{"avatar_api_key": "wrong"}', 401), ('{"avatar_api_key": 1}', 401)),
        *(('{"avatar_api_key": "\\ud800"}', 401), ("[]", 400), ("{", 400)),
        *(("[" * 100_000, 400), ("9" * 10_000, 400)),
    ],
    ids=range(7),
)
def test_invalid_logins_are_rejected(sandbox_url: str, body: str, status: int) -> None:
    assert requests.post(f"{sandbox_url}/api/login", body, timeout=5).status_code == status


@pytest.mark.parametrize(
    ("path", "element"),
    [
        ("/sentifyd-bot/main.js", "sentifyd-bot"),
        ("/element/bot.js", "sentifyd-bot"),
        ("/sentifyd-realtime/v1/main.js", "sentifyd-realtime"),
    ],
)
def test_loaders_define_their_element(sandbox_url: str, path: str, element: str) -> None:
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


def test_conversation_ends_when_the_token_expires() -> None:
    with (
        serving(create_sandbox(Sandbox(KEY, token_life=1))) as url,
        open_socket(url) as (socket, token),
    ):
        socket.send(json.dumps({"accessToken": token}))
        assert json.loads(socket.recv(5))["type"] == "ready"
        socket.send(json.dumps({"text": "What is a token?"}))
        assert "What is a token?" in json.loads(socket.recv(5))["text"]
        assert close_code(socket) == 4401


def test_invalid_tokens_close_the_connection(sandbox_url: str) -> None:
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
def test_malformed_messages_close_the_connection(sandbox_url: str, message: str | bytes) -> None:
    with open_socket(sandbox_url) as (socket, _):
        socket.send(message)
        assert close_code(socket) == 4400


SEARCH = {"name": "docs.search", "description": "Search.", "inputSchema": {"type": "object"}}
OPEN_PAGE = {**SEARCH, "name": "docs.open_page", "description": "Open a page."}
HIT = {"title": "Install", "section": "With pip", "url": "https://docs.example/a/#b"}
ECHO = "You wrote: “Hi”."


def receive(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(socket.recv(5))
    return message


def send(socket: ClientConnection, **message: object) -> None:
    socket.send(json.dumps(message))


@contextmanager
def connected(url: str, *actions: object) -> Iterator[tuple[ClientConnection, str]]:
    """A component whose page has these actions, and its greeting."""
    with open_socket(url) as (socket, token):
        send(socket, accessToken=token, actions=actions)
        ready = receive(socket)
        assert ready["type"] == "ready"
        yield socket, ready["greeting"]


def test_question_is_answered_with_the_pages_search(sandbox_url: str) -> None:
    with connected(sandbox_url, SEARCH) as (socket, greeting):
        assert "search this site" in greeting
        assert "open" not in greeting
        send(socket, text="How?")
        call = receive(socket)
        assert call == {
            "type": "call",
            "call": 1,
            "name": "docs.search",
            "arguments": {"query": "How?", "limit": 3},
        }
        scripts = {"title": "Bad", "url": "javascript:alert(1)", "excerpt": ""}
        hits = [{**HIT, "excerpt": "Run \ud83d."}, scripts, {"title": 1}]
        send(socket, call=1, result={"results": hits})
        answer = receive(socket)
        assert "found these pages" in answer["text"]
        assert "only searches" in answer["text"]
        assert answer["links"] == [
            {"text": "Install: With pip", "url": HIT["url"], "excerpt": "Run \ud83d."}
        ]

        send(socket, text="x" * 500)
        assert receive(socket)["arguments"]["query"] == "x" * 200
        send(socket, call=2, result={"results": []})
        assert "found nothing" in receive(socket)["text"]


def test_open_calls_the_action_for_the_best_page(sandbox_url: str) -> None:
    with connected(sandbox_url, SEARCH, OPEN_PAGE) as (socket, greeting):
        assert "open" in greeting
        send(socket, text="Open the install guide")
        assert receive(socket)["arguments"]["query"] == "the install guide"
        send(socket, call=1, result={"results": [HIT, HIT]})
        assert [link["url"] for link in receive(socket)["links"]] == [HIT["url"]]
        call = receive(socket)
        assert (call["name"], call["arguments"]) == ("docs.open_page", {"url": HIT["url"]})
        send(socket, call=2, error="there is no such page")
        assert receive(socket)["text"] == "That did not work: there is no such page."


def test_open_without_the_action_returns_links(sandbox_url: str) -> None:
    with connected(sandbox_url, SEARCH) as (socket, _):
        send(socket, text="open install")
        assert receive(socket)["arguments"]["query"] == "install"
        send(socket, call=1, result={"results": [HIT, HIT]})
        assert len(receive(socket)["links"]) == 2


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        ({"refused": True}, "You did not allow it, so I did nothing."),
        ({"error": "no network"}, "That did not work: no network."),
        ({"result": {"results": 1}}, "That did not work: docs.search returned no list of results."),
        ({"result": None}, "That did not work: docs.search returned no list of results."),
    ],
)
def test_failed_search_is_reported(
    sandbox_url: str, outcome: dict[str, object], answer: str
) -> None:
    with connected(sandbox_url, SEARCH) as (socket, _):
        send(socket, text="How?")
        receive(socket)
        send(socket, call=1, **outcome)
        assert receive(socket)["text"] == answer


def test_actions_may_be_registered_later(sandbox_url: str) -> None:
    with connected(sandbox_url) as (socket, greeting):
        assert "repeat" in greeting
        send(socket, text="Hi")
        assert receive(socket)["text"].startswith(ECHO)
        send(socket, actions=[SEARCH])
        received = receive(socket)
        assert received["type"] == "greeting"
        assert "search" in received["text"]
        send(socket, text="Hi")
        assert receive(socket)["type"] == "call"


def test_page_that_does_not_answer_times_out(
    sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "CALL_SECONDS", 0.1)
    with connected(sandbox_url, SEARCH) as (socket, _):
        send(socket, text="How?")
        receive(socket)
        assert receive(socket)["text"] == "That did not work: it took too long."
        send(socket, call=1, result={"results": [HIT]})
        send(socket, actions=[])
        assert receive(socket)["type"] == "greeting"
        send(socket, text="Hi")
        assert receive(socket)["text"].startswith(ECHO)


def test_messages_are_answered_in_order(sandbox_url: str) -> None:
    with connected(sandbox_url, SEARCH) as (socket, _):
        for text in ("first", "second", "third"):
            send(socket, text=text)
        for number, text in enumerate(("first", "second", "third"), 1):
            call = receive(socket)
            assert (call["call"], call["arguments"]["query"]) == (number, text)
            send(socket, call=number, result={"results": []})
            assert receive(socket)["type"] == "message"


def test_pending_answer_is_completed_after_the_token_expires() -> None:
    with (
        serving(create_sandbox(Sandbox(KEY, token_life=1))) as url,
        connected(url, SEARCH) as (socket, _),
    ):
        send(socket, text="How?")
        receive(socket)
        with pytest.raises(TimeoutError):  # it lives for less than two seconds
            socket.recv(2.2)
        send(socket, call=1, result={"results": []})
        assert "found nothing" in receive(socket)["text"]
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
def test_unexpected_messages_close_the_connection(
    sandbox_url: str, messages: list[dict[str, object]]
) -> None:
    with connected(sandbox_url, SEARCH) as (socket, _):
        send(socket, text="How?")
        assert receive(socket)["type"] == "call"
        for message in messages:
            send(socket, **message)
        if messages[0] == messages[-1] == {"call": 1, "refused": True}:
            assert receive(socket)["type"] == "message"
        assert close_code(socket) == 4400


def test_result_without_a_call_closes_the_connection(sandbox_url: str) -> None:
    with connected(sandbox_url, SEARCH) as (socket, _):
        send(socket, call=1, result={"results": []})
        assert close_code(socket) == 4400


def test_faults_are_set_and_cleared_over_http(sandbox_url: str, sandbox: Sandbox) -> None:
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


def test_delayed_login_succeeds(sandbox_url: str, sandbox: Sandbox) -> None:
    sandbox.fault = Fault("delay", seconds=0.01)

    assert log_in(sandbox_url).status_code == 200


def test_flapping_fault_alternates_between_failure_and_success(
    sandbox_url: str, sandbox: Sandbox
) -> None:
    for count in (2, 3):
        sandbox.fault = Fault("flap", status=502, count=count)
        statuses = [log_in(sandbox_url).status_code for _ in range(3 * count)]
        assert statuses == [502] * count + [200] * count + [502] * count


def test_decompression_bomb_is_small_until_it_is_unpacked(
    sandbox_url: str, sandbox: Sandbox
) -> None:
    sandbox.fault = Fault("bomb")
    first, second = log_in(sandbox_url), log_in(sandbox_url)

    assert first.headers["Content-Encoding"] == "gzip"
    assert int(first.headers["Content-Length"]) < 64 * 1024
    assert len(first.content) > 32 * 1024 * 1024
    tokens = {response.json()["data"]["access_token"] for response in (first, second)}
    assert len(tokens) == 2
