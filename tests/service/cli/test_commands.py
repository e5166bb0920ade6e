"""`sentifyd-edge` as a new user sees it."""

from __future__ import annotations

import argparse
import importlib.metadata
import inspect
import json
import os
import shlex
import signal
import socket
import subprocess
import sysconfig
import venv
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from websockets.sync.client import connect

import edge_service.cli
import mkdocs_sentifyd.cli
from edge_service.server import http_protocol
from edge_service.server.serving import bind
from edge_service.server.startup import Loaded, prepare
from edge_service.settings import SettingsError
from edge_service.settings.env_file import Source
from edge_service.settings.variables import declared
from tests.support.load import is_refused
from tests.support.processes import SCRIPTS, Command
from tests.support.servers import RawUpstream, http_answer
from tests.support.waiting import until

MAIN = "import sys; from edge_service.cli import main; sys.exit(main())"
GOOD = {"AVATAR_API_KEY": "canary-key-7f3a91", "ALLOWED_ORIGINS": "https://docs.example.com"}


def run(*arguments: str, **variables: str) -> tuple[int, list[str]]:
    with Command(*arguments, **variables) as command:
        status = command.wait()
    return status, command.output.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_listens_and_stops(number: signal.Signals) -> None:
    with Command("sentifyd-edge", "serve", "--port", "0", **GOOD) as command:
        port = command.port()
        assert requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
        assert command.stop(number) == 0
    assert "Traceback" not in command.output


def test_second_signal_does_not_wait_for_a_hanging_upstream() -> None:
    def hang(_: socket.socket) -> None:
        upstream.over.wait(60)

    with RawUpstream(hang) as upstream:
        variables = {"SENTIFYD_BACKEND": upstream.url, "UPSTREAM_TIMEOUT": "60"}
        with Command("sentifyd-edge", "serve", "--port", "0", **GOOD, **variables) as command:
            port = command.port()
            with socket.create_connection(("127.0.0.1", port)) as visitor:
                visitor.sendall(b"GET /request_tokens HTTP/1.1\r\nHost: x\r\n\r\n")
                assert upstream.arrived.wait(10)
                command.send(signal.SIGTERM)
                until(partial(is_refused, port))
                command.send(signal.SIGTERM)
                assert command.wait(3) == 0


def test_closed_log_pipe_fails_no_request() -> None:
    with subprocess.Popen(
        [SCRIPTS / "sentifyd-edge", "serve", "--port", "0"],
        env={**os.environ, **GOOD, "SENTIFYD_BACKEND": "http://127.0.0.1:1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        port = json.loads(process.stdout.readline())["port"]
        process.stdout.close()
        base = f"http://127.0.0.1:{port}"
        codes = [
            requests.get(f"{base}/{path}", timeout=5).status_code
            for path in ("livez", "request_tokens", "livez")
        ]
        process.terminate()
        assert process.wait(10) == 0

    assert codes == [200, 502, 200]


def test_serve_reports_each_mistake_in_one_line() -> None:
    status, lines = run("sentifyd-edge", "serve", ALLOWED_ORIGINS="*", PORT="many")

    assert status == 2
    assert [line.split()[:2] for line in lines] == [
        ["sentifyd-edge:", "AVATAR_API_KEY"],
        ["sentifyd-edge:", "ALLOWED_ORIGINS"],
        ["sentifyd-edge:", "PORT"],
    ]


@pytest.mark.parametrize(
    ("command", "fix"), [("serve", "--port or PORT"), ("sandbox", "--port or SANDBOX_PORT")]
)
def test_port_in_use_is_reported(command: str, fix: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        status, lines = run("sentifyd-edge", command, "--port", port, **GOOD)

    assert status == 2
    assert lines == [
        f"sentifyd-edge: port {port} on 127.0.0.1 is in use: choose another with {fix}"
    ]


def test_ports_in_use_are_reported_with_all_other_problems() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        port, metrics_port = (str(sock.getsockname()[1]) for sock in (one, other))
        status, lines = run(
            *("sentifyd-edge", "serve", "--port", port),
            METRICS_PORT=metrics_port,
            API_KEY="canary-key",
            TOKEN_POLICY="none",
        )

    assert status == 2
    assert [line.removeprefix("sentifyd-edge: ").partition(":")[0] for line in lines] == [
        "AVATAR_API_KEY is not set",
        "ALLOWED_ORIGINS is not set",
        "TOKEN_POLICY must be one of direct, pool, shared",
        f"port {port} on 127.0.0.1 is in use",
        f"port {metrics_port} on 127.0.0.1 is in use",
        "API_KEY is not a variable of this service",
    ]


def test_failed_start_leaves_no_socket() -> None:
    with bind("127.0.0.1", 0, "the port") as sock:
        port = sock.getsockname()[1]
    with pytest.raises(SettingsError) as caught:
        prepare(Loaded(Source({"PORT": str(port)})))

    # Nothing holds it open, not even the traceback.
    bind("127.0.0.1", port, "the port").close()
    assert len(caught.value.problems) == 2


def test_pending_login_is_answered_before_shutdown() -> None:
    tokens = {"access_token": "a", "refresh_token": "r", "avatar_params": {}}

    def answer_slowly(connection: socket.socket) -> None:
        upstream.over.wait(2)
        connection.sendall(http_answer("200 OK", json.dumps({"data": tokens}).encode()))

    with RawUpstream(answer_slowly) as upstream, ThreadPoolExecutor(1) as pool:
        variables = {"SENTIFYD_BACKEND": upstream.url, "UPSTREAM_TIMEOUT": "10"}
        with Command("sentifyd-edge", "serve", "--port", "0", **GOOD, **variables) as command:
            port = command.port()
            url = f"http://127.0.0.1:{port}/request_tokens"
            answer = pool.submit(requests.get, url, timeout=20)
            assert upstream.arrived.wait(10)
            assert command.stop(signal.SIGTERM) == 0
            assert answer.result().status_code == 200


def test_address_of_another_machine_is_reported() -> None:
    status, lines = run("sentifyd-edge", "serve", "--host", "192.0.2.1", **GOOD)

    assert status == 2
    assert len(lines) == 1
    assert "192.0.2.1 cannot be used" in lines[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--port", "http"),
        ("sandbox", "--port", "http"),
        ("sandbox", "--token-life", "0"),
        ("demo", "--token-life", "never"),
    ],
)
def test_malformed_arguments_are_reported(arguments: tuple[str, ...]) -> None:
    status, lines = run("sentifyd-edge", *arguments)

    assert status == 2
    assert "must be a whole number from" in lines[-1]


def test_malformed_sandbox_port_variable_is_reported() -> None:
    status, lines = run("sentifyd-edge", "sandbox", SANDBOX_PORT="x")

    assert status == 2
    assert "must be a whole number from 0 to 65535" in lines[-1]


def test_sandbox_prints_how_to_use_it() -> None:
    with Command("sentifyd-edge", "sandbox", "--port", "0", "--token-life", "5") as command:
        base = command.wait_for(r"sandbox on (\S+);")[1]
        key = command.wait_for(r"AVATAR_API_KEY=(\S+)")[1]
        answer = requests.post(f"{base}/api/login", json={"avatar_api_key": key}, timeout=5)
        assert command.stop() == 0

    assert answer.status_code == 200


def test_sandbox_accepts_a_key_without_printing_it() -> None:
    with Command("sentifyd-edge", "sandbox", "--port", "0", SANDBOX_API_KEY="chosen-1") as command:
        base = command.wait_for(r"sandbox on (\S+);")[1]
        answers = [
            requests.post(f"{base}/api/login", json={"avatar_api_key": key}, timeout=5).status_code
            for key in ("chosen-1", "sandbox-only-key")
        ]

    assert answers == [200, 401]
    assert "chosen-1" not in command.output


ORIGINS = ("http://127.0.0.1:8000", "http://localhost:8000")


def previewed(command: Command) -> dict[str, Any]:
    """The URLs in the first line of a preview."""
    addresses: dict[str, Any] = json.loads(command.wait_for(".*")[0])
    return addresses


def ask_for_tokens(endpoint: str, origin: str) -> int:
    return requests.get(endpoint, headers={"Origin": origin}, timeout=5).status_code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_preview_serves_a_site_on_the_default_port(number: signal.Signals) -> None:
    with Command("sentifyd-edge", "preview") as command:
        addresses = previewed(command)
        endpoint = addresses["token_endpoint"]
        assert [ask_for_tokens(endpoint, origin) for origin in ORIGINS] == [200, 200]
        assert ask_for_tokens(endpoint, "http://127.0.0.1:8001") == 403
        assert set(addresses["loaders"]) == {"bot", "realtime"}
        for component, loader in addresses["loaders"].items():
            source = requests.get(loader, timeout=5).text
            assert f'const ELEMENT = "sentifyd-{component}";' in source
        command.wait_for("Sentifyd sandbox for http://127.0.0.1:8000, http://localhost:8000")
        tokens = requests.get(endpoint, timeout=5).json()
        with connect(tokens["avatarParameters"]["websocket"]) as visitor:
            visitor.send(json.dumps({"accessToken": tokens["tokens"]["accessToken"]}))
            visitor.recv(5)
            assert command.stop(number) == 0
    assert len(command.output.splitlines()) == 2


def test_preview_serves_other_origins() -> None:
    origins = ("http://[::1]:8001", "https://dev.example.com")
    with Command("sentifyd-edge", "preview", *(f"--origin={origin}" for origin in origins)) as one:
        endpoint = previewed(one)["token_endpoint"]
        assert [ask_for_tokens(endpoint, origin) for origin in origins] == [200, 200]
        assert ask_for_tokens(endpoint, ORIGINS[0]) == 403


@pytest.mark.parametrize(
    ("origin", "problem"),
    [
        ("http://127.0.0.1:8000/", "contains an origin with a path, a final slash or credentials"),
        ("docs", "contains something that is not an origin"),
        ("*", "contains *: list each origin, such as http://127.0.0.1:8000"),
        ("", "lists no origin"),
    ],
)
def test_preview_reports_an_invalid_origin(origin: str, problem: str) -> None:
    status, lines = run("sentifyd-edge", "preview", "--origin", origin)

    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"sentifyd-edge: --origin {problem}")


def test_preview_stops_when_standard_input_ends() -> None:
    status, lines = run("sentifyd-edge", "preview", "--with-parent")  # from an empty one

    assert status == 0
    assert "token_endpoint" in lines[0]


def test_any_asgi_server_can_import_the_app() -> None:
    with Command(
        *("python", "-m", "uvicorn", "edge_service.app:app", "--port", "0"),
        **GOOD,
        SENTIFYD_BACKEND="http://127.0.0.1:1",
    ) as command:
        url = command.wait_for(r"running on (http://\S+)")[1]
        assert requests.get(f"{url}/livez", timeout=5).json() == {"status": "alive"}
        requests.get(f"{url}/request_tokens?refreshToken=canary-sent-back", timeout=5)
        command.stop()
    assert command.output.count("/request_tokens") == 1
    assert "canary-sent-back" not in command.output  # although uvicorn's access log is on


def test_other_asgi_server_prints_one_line_without_traceback() -> None:
    status, lines = run("python", "-m", "uvicorn", "edge_service.app:app", **{**GOOD, "PORT": "x"})

    assert status == 1
    assert lines == ["sentifyd-edge: PORT must be a whole number from 0 to 65535"]


def test_metrics_port_needs_sentifyd_edge_serve() -> None:
    status, lines = run(
        *("python", "-m", "uvicorn", "edge_service.app:app"), **{**GOOD, "METRICS_PORT": "9100"}
    )

    assert status == 1
    assert len(lines) == 1
    assert "sentifyd-edge serve" in lines[0]


def test_importing_create_app_needs_no_environment() -> None:
    status, lines = run("python", "-c", "from edge_service.app import create_app")

    assert (status, lines) == (0, [])


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with this distribution, but without its dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    project = Path(__file__).parents[3]
    (packages / "project.pth").write_text(f"{project}\n")
    metadata = Path(str(importlib.metadata.distribution("mkdocs-sentifyd").locate_file("")))
    (dist_info,) = metadata.glob("mkdocs_sentifyd-*.dist-info")
    (packages / dist_info.name).symlink_to(dist_info)
    return str(folder / "bin" / "python")


def parsers(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, and the main parser under the empty name."""
    [commands] = (a for a in whole._actions if isinstance(a, argparse._SubParsersAction))
    helps = {choice.dest: choice.help for choice in commands._choices_actions}
    assert set(helps) == set(commands.choices)
    assert all(helps.values())
    return {"": whole, **commands.choices}


@pytest.mark.parametrize("whole", [edge_service.cli.parser(), mkdocs_sentifyd.cli.parser()])
def test_help_is_complete_and_its_examples_are_valid(whole: argparse.ArgumentParser) -> None:
    for parser in parsers(whole).values():
        assert parser.description
        assert all(
            action.help
            for action in parser._actions
            if not isinstance(action, argparse._SubParsersAction)
        )
        assert parser.epilog
        sections = dict(
            part.split(":\n", 1) for part in parser.epilog.split("\n\n") if ":\n" in part
        )
        assert "exit status" in sections
        examples = [line.strip() for line in sections["examples"].splitlines()]
        ours = [
            command for line in examples for command in line.split("&&") if whole.prog in command
        ]
        assert len(ours) >= len(examples) > 0
        for command in ours:
            words = shlex.split(command.partition(" > ")[0])
            arguments = words[words.index(whole.prog) + 1 :]
            if "--help" in arguments:
                assert arguments[0] in parsers(whole)
            else:
                whole.parse_args(arguments)
        for line in examples:
            assert f"\n  {line}\n" in parser.format_help()


def test_help_of_serve_names_required_variables() -> None:
    text = parsers(edge_service.cli.parser())["serve"].format_help()

    for variable in declared():
        if variable.missing.startswith(("put", "list")):
            assert variable.name in text


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("doctor", "--help")])
def test_help_needs_no_extra(bare_python: str, arguments: tuple[str, ...]) -> None:
    status, lines = run(bare_python, "-c", MAIN, *arguments)

    assert status == 0
    assert lines[0].startswith("usage: sentifyd-edge")


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_missing_extra_is_reported(bare_python: str, command: str) -> None:
    status, lines = run(bare_python, "-c", MAIN, command)

    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("sentifyd-edge: needs starlette, uvicorn, aiohttp")
    assert lines[0].endswith("run pip install 'mkdocs-sentifyd[service]'")


def test_serve_refuses_to_run_without_request_limits() -> None:
    before = "from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as protocol"
    status, lines = run(
        *("python", "-c", f"{before}; del protocol._start_asgi_task; {MAIN}", "serve"), **GOOD
    )

    assert status == 2
    assert len(lines) == 1
    assert "lacks _start_asgi_task, which the limits on requests need" in lines[0]


def test_replaced_server_methods_are_listed() -> None:
    replaced = {
        name
        for name, value in vars(http_protocol.BoundedProtocol).items()
        if inspect.isfunction(value) and hasattr(HttpToolsProtocol, name)
    }

    assert replaced == set(http_protocol._REPLACED)


# What `BoundedProtocol` uses of uvicorn, besides the methods that it overrides.
RELIED_ON = (
    *("__init__", "_get_upgrade", "_should_upgrade_to_ws", "_unset_keepalive_if_required"),
    *("on_url", "on_body", "timeout_keep_alive_handler"),
)
CYCLE = ("__init__", "run_asgi", "send", "receive")
DIGESTS = {
    "HttpToolsProtocol.__init__": "4f0899941034",
    "HttpToolsProtocol._get_upgrade": "7b1305aac7b8",
    "HttpToolsProtocol._should_upgrade": "8fcad1ab8e09",
    "HttpToolsProtocol._should_upgrade_to_ws": "d580849b4df8",
    "HttpToolsProtocol._start_asgi_task": "9c08c2571ae9",
    "HttpToolsProtocol._unset_keepalive_if_required": "00a6a4e47214",
    "HttpToolsProtocol._unsupported_upgrade_warning": "55bbd2762b18",
    "HttpToolsProtocol.connection_lost": "c91a4c9bf2e2",
    "HttpToolsProtocol.connection_made": "6efb565ff3d3",
    "HttpToolsProtocol.data_received": "010a7ae59a5d",
    "HttpToolsProtocol.handle_websocket_upgrade": "179c4f769386",
    "HttpToolsProtocol.on_body": "dba9c32aeba3",
    "HttpToolsProtocol.on_header": "65d62c044f61",
    "HttpToolsProtocol.on_headers_complete": "1ea8589acfad",
    "HttpToolsProtocol.on_message_begin": "96d377fdc7c2",
    "HttpToolsProtocol.on_message_complete": "1fbad42dc31f",
    "HttpToolsProtocol.on_response_complete": "64e254f28e38",
    "HttpToolsProtocol.on_url": "37be44e962b0",
    "HttpToolsProtocol.pause_writing": "17a8fd215d96",
    "HttpToolsProtocol.resume_writing": "7844bbaa8cce",
    "HttpToolsProtocol.send_400_response": "ae5a4a3782b6",
    "HttpToolsProtocol.shutdown": "d7351fa33f00",
    "HttpToolsProtocol.timeout_keep_alive_handler": "8b53bf5f2e20",
    "RequestResponseCycle.__init__": "4d2f220910c3",
    "RequestResponseCycle.receive": "8124ae006be7",
    "RequestResponseCycle.run_asgi": "0f33f2449a44",
    "RequestResponseCycle.send": "abdd8601b326",
}


def test_private_parts_of_uvicorn_are_unchanged() -> None:
    """The service replaces or uses private parts of uvicorn, which any version may change."""
    parts = {
        f"{kind.__name__}.{name}": getattr(kind, name)
        for kind, names in (
            (HttpToolsProtocol, (*http_protocol._REPLACED, *RELIED_ON)),
            (RequestResponseCycle, CYCLE),
        )
        for name in names
    }
    digests = {
        name: sha256(inspect.getsource(part).encode()).hexdigest()[:12]
        for name, part in parts.items()
    }

    changed = sorted(name for name, digest in digests.items() if DIGESTS.get(name) != digest)
    assert not changed, (
        f"uvicorn {version('uvicorn')} changed {', '.join(changed)} of httptools_impl.py: compare "
        "with edge_service/http_protocol.py, run test_serving.py and test_upgrades.py, then put "
        f"the new digests here: { ({name: digests[name] for name in changed}) }"
    )


def test_keygen_with_a_closed_pipe_prints_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [SCRIPTS / "sentifyd-edge", "keygen"], stdout=writer, stderr=subprocess.PIPE
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (1, b"")
