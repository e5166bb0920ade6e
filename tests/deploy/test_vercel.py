"""The token service as a Vercel function, as far as it can be tested without Vercel.

Its Python runtime (vercel-runtime 0.24.1) serves a module's `app` with uvicorn on a loopback port,
with the lifespan, without an access log and with uvicorn's defaults for proxies.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import requests

from edge_service.web.cors import ROUTE
from tests.support.processes import Command
from tests.support.servers import KeptConnections
from tests.support.settings import KEY, ORIGIN

CANARY = "canary-refresh-93d5"


def function(folder: Path, **variables: str) -> Command:
    good = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": ORIGIN, **variables}
    how = ("--port", "0", "--no-access-log", "--app-dir", str(folder / "api"))
    return Command("uvicorn", "index:app", *how, **good)


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "deploy" / "vercel"


def test_function_returns_tokens_and_counts_by_address(folder: Path, sandbox_url: str) -> None:
    with function(folder, SENTIFYD_BACKEND=sandbox_url, RATE_LIMIT="2/day") as command:
        base = command.wait_for(r"running on (http://\S+)")[1]

        def ask(address: str, path: str = ROUTE) -> requests.Response:
            # Vercel sets this header itself and discards the visitor's value.
            headers = {"Origin": ORIGIN, "X-Forwarded-For": address, "X-Real-IP": address}
            url = f"{base}{path}?refreshToken={CANARY}"
            return requests.get(url, headers=headers, timeout=10)

        answers = [ask("192.0.2.7") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].json()["tokens"]["accessToken"]
        assert answers[0].headers["Access-Control-Allow-Origin"] == ORIGIN
        assert ask("192.0.2.8").status_code == 200
        assert ask("192.0.2.9", "/metrics").status_code == 404
        command.stop()
    for unwanted in (KEY, CANARY, "Traceback"):
        assert unwanted not in command.output


def test_connection_that_closed_while_the_function_was_frozen_fails_no_login(folder: Path) -> None:
    with (
        KeptConnections() as upstream,
        function(folder, SENTIFYD_BACKEND=upstream.url) as command,
    ):
        base = command.wait_for(r"running on (http://\S+)")[1]
        for _ in range(2):
            answer = requests.get(f"{base}{ROUTE}", headers={"Origin": ORIGIN}, timeout=10)
            assert answer.status_code == 200
            command.freeze()
            upstream.close_connections()
            command.send(signal.SIGCONT)
        command.stop()


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"TOKEN_POLICY": "pool"}, "TOKEN_POLICY pool and shared log in after a response"),
        ({"TOKEN_POLICY": "shared"}, "TOKEN_POLICY pool and shared log in after a response"),
        ({"ALLOWED_ORIGINS": ""}, "ALLOWED_ORIGINS is "),
    ],
)
def test_invalid_setting_is_reported_in_one_line(
    folder: Path, variables: dict[str, str], line: str
) -> None:
    with function(folder, **variables) as command:
        assert command.wait() == 1

    assert command.output.startswith(line)
    assert command.output.count("\n") == 1


def test_token_routes_lead_to_the_function(folder: Path) -> None:
    config = json.loads((folder / "vercel.json").read_text())
    sources = [rewrite["source"] for rewrite in config["rewrites"]]
    assert sources == [ROUTE, f"{ROUTE}/:avatar"]
    for target in [rewrite["destination"] for rewrite in config["rewrites"]]:
        assert (folder / f"{target.removeprefix('/')}.py").is_file()
    assert all((folder / name).is_file() for name in config["functions"])
