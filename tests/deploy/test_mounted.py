"""The token service mounted in another application."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest
import requests
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox
from tests.support.processes import Command
from tests.support.servers import serving
from tests.support.settings import KEY, ORIGIN, settings_for
from tests.support.waiting import until

CANARY = "canary-refresh-2b70"


def variables(sandbox_url: str, **more: str) -> dict[str, str]:
    good = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": ORIGIN, "SENTIFYD_BACKEND": sandbox_url}
    return {**good, **more}


class Client:
    """Sends requests to a running application."""

    def __init__(self, base: str) -> None:
        self._base = base

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.ask("GET", path, **headers)

    def ask(self, method: str, path: str, **headers: str) -> requests.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, self._base + path, headers=sent, timeout=10)


Load = Callable[..., tuple[ModuleType, Client]]


@pytest.fixture
def load(root: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Serve an example application of the documentation."""
    with ExitStack() as stack:

        def start(name: str, **more: str) -> tuple[ModuleType, Client]:
            for variable, value in variables(sandbox_url, **more).items():
                monkeypatch.setenv(variable, value)
            path = root / "deploy" / "mounted" / f"{name}.py"
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec
            assert spec.loader
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module, Client(stack.enter_context(serving(module.app)))

        yield start


def test_mounted_service_hands_out_tokens_under_its_path(load: Load) -> None:
    _, client = load("starlette_app")

    assert client.get("/").text == "Your own application"
    answer = client.get("/avatar/request_tokens", Origin=ORIGIN)
    assert answer.status_code == 200
    assert answer.json()["tokens"]["accessToken"]
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.get("/request_tokens").status_code == 404

    ask = {"Origin": ORIGIN, "Access_Control_Request_Method": "GET"}
    preflight = client.ask("OPTIONS", "/avatar/request_tokens", **ask)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    other = client.get("/avatar/request_tokens", Origin="https://evil.example.com")
    assert other.status_code == 403


@pytest.mark.parametrize(("more", "status"), [({}, 200), ({"METRICS_PORT": "9090"}, 404)])
def test_metrics_are_public_without_metrics_port(
    load: Load, more: dict[str, str], status: int
) -> None:
    _, client = load("starlette_app", **more)

    assert client.get("/avatar/metrics").status_code == status


def test_mount_at_root_keeps_the_path(sandbox_url: str) -> None:
    tokens = create_app(settings_for(sandbox_url))
    host = Starlette(routes=[Mount("/", tokens)])

    with serving(host) as base:
        answer = Client(base).get("/request_tokens", Origin=ORIGIN)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_pool_is_filled_when_the_host_starts(load: Load, sandbox: Sandbox) -> None:
    """No request for a token is needed."""
    before = sandbox.logins
    _, client = load("starlette_app", TOKEN_POLICY="pool", TOKEN_POOL_SIZE="3")

    until(lambda: client.get("/avatar/readyz").status_code == 200)
    assert sandbox.logins == before + 3


def test_host_authenticator_counts_visitors_by_user(load: Load) -> None:
    module, client = load("fastapi_app", RATE_LIMIT="2/day")
    module.sessions.update(one="ada", other="grace")

    def ask(session: str, **headers: str) -> int:
        sent = {"Origin": ORIGIN, "Cookie": f"session={session}", **headers}
        return client.get("/avatar/request_tokens", **sent).status_code

    assert client.get("/").json() == {"message": "Your own application"}
    assert [ask("one") for _ in range(3)] == [200, 200, 429]
    spoof = {"X_Forwarded_User": "somebody-else", "X_Forwarded_For": "203.0.113.9"}
    assert ask("one", **spoof) == 429
    assert ask("other") == 200
    refused = client.get("/avatar/request_tokens", Origin=ORIGIN, **spoof)
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN
    # Visitors without a session are counted by their real address, not by a forged one.
    assert [ask("unknown", **spoof) for _ in range(2)] == [401, 429]


def test_invalid_user_name_is_unauthenticated(load: Load) -> None:
    module, client = load("fastapi_app")
    module.sessions.update(one="ada", line="ada\nlovelace", half="\ud83d", long="a" * 300)

    def ask(session: str) -> int:
        return client.get("/avatar/request_tokens", Cookie=f"session={session}").status_code

    assert [ask(session) for session in ("one", "line", "half", "long")] == [200, 401, 401, 401]


def test_own_authenticator_allows_credentials(load: Load) -> None:
    """By default an authenticator reads a cookie, so responses allow credentials."""
    module, client = load("fastapi_app")
    module.sessions["one"] = "ada"

    answer = client.get("/avatar/request_tokens", Origin=ORIGIN, Cookie="session=one")
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


def test_server_without_client_address_hands_out_tokens(load: Load) -> None:
    """For example a server on a Unix socket."""
    module, _ = load("fastapi_app")
    module.sessions["one"] = "ada"

    async def without_address(scope: Scope, receive: Receive, send: Send) -> None:
        await module.app({k: v for k, v in scope.items() if k != "client"}, receive, send)

    with serving(without_address) as base:
        answer = Client(base).get("/avatar/request_tokens", Cookie="session=one")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("more", "reported"),
    [
        ({"TOKEN_POLICY": "shared"}, "TOKEN_POLICY shared gives every visitor the same tokens, "),
        ({"ALLOWED_ORIGINS": "*", "ALLOW_ANY_ORIGIN": "true"}, "ALLOW_ANY_ORIGIN would let "),
        (
            {"VISITOR_AUTH": "forwarded", "TRUSTED_PROXIES": "127.0.0.1"},
            "VISITOR_AUTH is set, and the application has its own authenticator: ",
        ),
    ],
)
def test_conflicting_settings_stop_the_application(
    root: Path, more: dict[str, str], reported: str
) -> None:
    folder = str(root / "deploy" / "mounted")
    environ = {**variables("http://127.0.0.1:1"), **more}
    with Command("uvicorn", "--app-dir", folder, "fastapi_app:app", **environ) as command:
        assert command.wait() == 1

    assert command.output.startswith(reported)
    assert command.output.count("\n") == 1


@pytest.mark.parametrize("name", ["starlette_app", "fastapi_app"])
def test_invalid_setting_is_reported_in_one_line(root: Path, name: str) -> None:
    folder = str(root / "deploy" / "mounted")
    with Command("uvicorn", "--app-dir", folder, f"{name}:app", ALLOWED_ORIGINS=ORIGIN) as command:
        assert command.wait() == 1

    assert command.output.startswith("AVATAR_API_KEY is not set: ")
    assert "Traceback" not in command.output


@pytest.mark.parametrize("name", ["starlette_app", "fastapi_app"])
def test_documented_uvicorn_command_works(root: Path, sandbox_url: str, name: str) -> None:
    """Started as its docstring says, it hands out tokens, does not log them, and stops cleanly."""
    folder = root / "deploy" / "mounted"
    text = (folder / f"{name}.py").read_text().partition('"""')[2].partition('"""')[0]
    how = text.partition("    uvicorn ")[2].replace("\\\n", " ").splitlines()[0].split()
    assert how[0] == f"{name}:app"
    # Nothing else protects the application's own routes: see tests/service/web/test_upgrades.py.
    assert how[-2:] == ["--http", "edge_service.http_protocol:BoundedProtocol"]
    environ = variables(sandbox_url, TOKEN_POLICY="pool")
    with Command("uvicorn", *how, "--port", "0", "--app-dir", str(folder), **environ) as command:
        base = command.wait_for(r"running on (http://\S+)")[1]
        status = 401 if name == "fastapi_app" else 200
        url = f"{base}/avatar/request_tokens?refreshToken={CANARY}"
        assert requests.get(url, timeout=10).status_code == status
        command.stop(signal.SIGTERM)

    assert "Application shutdown complete" in command.output
    for unwanted in (KEY, CANARY, "Traceback"):
        assert unwanted not in command.output
