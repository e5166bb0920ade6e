"""SIGHUP and --watch: settings change while requests run, all of them or none."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet
from requests.adapters import HTTPAdapter

from tests.support.avatars import DOCS, SHOP, Upstream, owner, whose
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.redis import RedisServer
from tests.support.servers import RawUpstream, http_answer, serving
from tests.support.service import Running, is_ready, metric
from tests.support.settings import ORIGIN
from tests.support.waiting import TIMEOUT, until

NEW = "canary-key-new"


class Configured(Running):
    """A service in its own process, with an environment file."""

    def __init__(self, command: Command, folder: Path, lines: dict[str, str]) -> None:
        super().__init__(command)
        self.folder = folder
        self.lines = lines

    def reload(self, **changes: str | None) -> dict[str, Any]:
        """Change variables in the file, send the signal, and return the line with the result."""
        self.lines = write(self.folder, {**self.lines, **changes})
        self.command.send(signal.SIGHUP)
        return self.reported()

    def reported(self) -> dict[str, Any]:
        pattern = '.*"settings_(not_)?reloaded".*'
        line: dict[str, Any] = json.loads(self.command.wait_for(pattern, TIMEOUT)[0])
        return line


def write(folder: Path, lines: dict[str, str | None]) -> dict[str, str]:
    kept = {name: value for name, value in lines.items() if value is not None}
    path = folder / "edge.env"
    path.write_text("".join(f"{name}={value}\n" for name, value in kept.items()))
    path.chmod(0o600)
    return kept


Start = Callable[..., Configured]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    with serving(upstream.app()) as upstream.url:
        yield upstream


@pytest.fixture
def start(upstream: Upstream, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(*options: str, process: dict[str, str] | None = None, **lines: str) -> Configured:
            good = {
                "PORT": "0",
                "AVATAR_API_KEY": DOCS,
                "ALLOWED_ORIGINS": ORIGIN,
                "SENTIFYD_BACKEND": upstream.url,
            }
            good = {name: value for name, value in good.items() if f"{name}_FILE" not in lines}
            written = write(tmp_path, {**good, **lines})
            file = str(tmp_path / "edge.env")
            command = Command(
                *("sentifyd-edge", "serve", "--env-file", file, *options), **process or {}
            )
            service = Configured(stack.enter_context(command), tmp_path, written)

            def check() -> None:
                assert "canary" not in command.output
                assert "Traceback" not in command.output

            stack.callback(check)
            return service

        yield start


def test_reload_changes_every_kind_of_setting(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "seal-keys"
    keys.write_text(Fernet.generate_key().decode())
    service = start(
        SEAL_KEYS_FILE=str(keys), RATE_LIMIT="999/minute", process={"UPSTREAM_TIMEOUT": "20"}
    )
    with requests.Session() as visitor:
        # One connection for everything, which no reload may close.
        visitor.headers["Origin"] = ORIGIN

        def ask(**body: str) -> requests.Response:
            return visitor.post(service.url, json=body, timeout=TIMEOUT)

        first = ask()
        handle = first.json()["tokens"]["refreshToken"]

        added = f"{Fernet.generate_key().decode()}\n{keys.read_text()}"
        keys.write_text(added)
        reported = service.reload(
            **{"AVATAR_API_KEY": NEW, "RATE_LIMIT": "2/hour", "UPSTREAM_TIMEOUT": "3"},
            ALLOWED_ORIGINS=f"{ORIGIN},https://shop.example.com",
            LOG_LEVEL="warning",
        )

        assert reported["event"] == "settings_reloaded"
        assert sorted(reported["changed"]) == [
            *("ALLOWED_ORIGINS", "AVATAR_API_KEY", "LOG_LEVEL", "RATE_LIMIT", "SEAL_KEYS_FILE")
        ]
        # The variable of the process stays.
        assert '"variable": "UPSTREAM_TIMEOUT"' in service.command.output
        lines = len(service.command.output.splitlines())
        answer = ask(refreshToken=handle)
        assert owner(answer) == whose(NEW)
        assert ask().status_code == 200
        assert (limited := ask()).status_code == 429
        assert limited.headers["RateLimit-Policy"] == '"hour";q=2;w=3600'
        assert service.get(origin="https://shop.example.com").status_code == 429

        keys.write_text(added.splitlines()[0])
        service.reload(LOG_LEVEL="info", RATE_LIMIT="99/hour")
        assert ask(refreshToken=handle).status_code == 401
        adapter = visitor.get_adapter(service.url)
        assert isinstance(adapter, HTTPAdapter)
        [key] = adapter.poolmanager.pools.keys()
        assert adapter.poolmanager.pools[key].num_connections == 1
    until(lambda: '"status": 401' in service.command.output)
    later = "".join(service.command.output.splitlines(keepends=True)[lines:])
    # At the level `warning`, a request had no line.
    assert re.findall(r'"event": "(?:request|settings_reloaded)".*', later)[0].count("settings")
    assert metric(service, 'sentifyd_edge_reloads_total{result="ok"}') == 2


def test_what_did_not_change_keeps_its_state(start: Start, upstream: Upstream) -> None:
    service = start(TOKEN_POLICY="shared", RATE_LIMIT="3/day")
    token = service.get().json()["tokens"]["accessToken"]
    assert service.get().status_code == 200
    hits = 'sentifyd_edge_grants_total{avatar="(default)",policy="shared",result="hit"}'

    # With these, connections and policies are new.
    reported = service.reload(
        UPSTREAM_TIMEOUT="4", SEAL_KEYS=Fernet.generate_key().decode(), REQUIRE_ORIGIN="true"
    )
    assert reported["changed"]

    assert service.get().json()["tokens"]["accessToken"] == token
    assert service.get().status_code == 429
    assert len(upstream.keys) == 1
    # A limit that stays keeps its counters beside another one.
    service.reload(RATE_LIMIT="99/hour;3/day")
    assert service.get().status_code == 429
    assert metric(service, hits) == 2
    assert metric(service, 'sentifyd_edge_rate_limited_total{avatar="(default)"}') == 2


def test_pause_of_logins_outlives_a_reload(start: Start) -> None:
    refusal = http_answer("429 Too Many Requests", b"{}", "Retry-After: 600")
    with RawUpstream(lambda connection: connection.sendall(refusal)) as refusing:
        service = start(SENTIFYD_BACKEND=refusing.url)
        assert service.get().status_code == 429
        service.reload(UPSTREAM_TIMEOUT="4", TOKEN_POOL_SIZE="3")
        assert service.get().json()["code"] == "upstream_paused"
        assert len(refusing.received) == 1


def test_login_budget_goes_on_after_a_reload(start: Start) -> None:
    service = start(LOGIN_BUDGET="3/day", RATE_LIMIT="99/minute")

    def codes(count: int) -> list[str | None]:
        return [service.get().json().get("code") for _ in range(count)]

    assert codes(2) == [None, None]
    # With this, connections and policies are new.
    service.reload(UPSTREAM_TIMEOUT="4")
    assert codes(2) == [None, "budget_spent"]

    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    reported = service.reload(LOGIN_BUDGET="9/day", REDIS_URL=nowhere, UPSTREAM_TIMEOUT="1")
    assert reported["event"] == "settings_not_reloaded"
    assert codes(1) == ["budget_spent"]

    service.reload(LOGIN_BUDGET="4/day", REDIS_URL=None)
    assert codes(2) == [None, "budget_spent"]


def test_new_pool_is_filled_within_its_login_budget(start: Start) -> None:
    service = start(TOKEN_POLICY="pool", TOKEN_POOL_SIZE="2", RATE_LIMIT="99/minute")
    service.reload(AVATAR_API_KEY=NEW, LOGIN_BUDGET="2/day")
    answers = [service.get() for _ in range(3)]
    assert [owner(answer) for answer in answers[:2]] == [whose(NEW)] * 2
    assert answers[2].json()["code"] == "budget_spent"


def test_drain_follows_the_last_settings(start: Start) -> None:
    service = start()
    service.reload(DRAIN_SECONDS="600", AVATAR_API_KEY=NEW)
    service.command.send(signal.SIGTERM)
    until(lambda: not is_ready(service))
    assert owner(service.get()) == whose(NEW)
    # A reload meanwhile does not make it ready.
    service.reload(RATE_LIMIT="99/minute")
    assert not is_ready(service)
    assert service.command.stop(signal.SIGTERM) == 0


def test_pool_is_kept_and_a_new_pool_is_filled_first(start: Start, upstream: Upstream) -> None:
    service = start(TOKEN_POLICY="pool", TOKEN_POOL_SIZE="2", RATE_LIMIT="99/minute")
    until(lambda: metric(service, "sentifyd_edge_pool_level{") == 2)
    service.reload(UPSTREAM_CONCURRENCY="2")
    assert metric(service, "sentifyd_edge_pool_level{") == 2
    assert upstream.keys == [DOCS] * 2
    token = service.get().json()["tokens"]["accessToken"]
    assert token in {f"{whose(DOCS)}-1", f"{whose(DOCS)}-2"}

    service.reload(AVATAR_API_KEY=NEW)
    assert metric(service, "sentifyd_edge_pool_level{") == 2
    assert owner(service.get()) == whose(NEW)


def test_running_request_keeps_the_settings_it_began_with(start: Start, upstream: Upstream) -> None:
    service = start(UPSTREAM_TIMEOUT=str(int(TIMEOUT)))
    with ThreadPoolExecutor(1) as pool:
        with upstream.holding(DOCS) as arrived:
            request = pool.submit(service.get)
            assert arrived.wait(TIMEOUT)
            service.reload(AVATAR_API_KEY=NEW, UPSTREAM_TIMEOUT="3")
            assert owner(service.get()) == whose(NEW)
            service.reload(AVATAR_API_KEY=SHOP)
            assert owner(service.get()) == whose(SHOP)
        assert owner(request.result()) == whose(DOCS)
    # Nothing of the old settings keeps the service from stopping.
    assert service.command.stop(signal.SIGTERM) == 0


def test_wrong_settings_change_nothing(start: Start, tmp_path: Path) -> None:
    service = start(PORT="0")
    reported = service.reload(
        **{"HOST": "127.0.0.2", "PORT": "8099", "METRICS_PORT": "8098"},
        OTEL_SERVICE_NAME="canary",
        AVATAR_API_KEY=NEW,
    )
    assert (reported["event"], reported["level"]) == ("settings_not_reloaded", "error")
    fix = "has changed, which needs a restart: restart the service, or change it back"
    assert reported["problems"] == [
        f"{name} {fix}" for name in ("HOST", "PORT", "METRICS_PORT", "OTEL_SERVICE_NAME")
    ]
    assert owner(service.get()) == whose(DOCS)
    fixed = {"HOST": None, "PORT": "0", "METRICS_PORT": None, "OTEL_SERVICE_NAME": None}

    nowhere = tmp_path / "nowhere"
    reported = service.reload(
        **fixed, RATE_LIMIT="canary", LOG_LEVEL="canary", SEAL_KEYS_FILE=str(nowhere)
    )
    assert [str(problem).split(" ")[0] for problem in reported["problems"]] == [
        *("RATE_LIMIT", "SEAL_KEYS_FILE:", "LOG_LEVEL")
    ]
    assert owner(service.get()) == whose(DOCS)

    path = tmp_path / "edge.env"
    reported = service.reload(**{"export canary": "1", "SEAL_KEYS_FILE": None})
    [problem] = reported["problems"]
    assert str(problem).startswith(f"--env-file: line {len(service.lines)} of {path} must be NAME=")
    assert owner(service.get()) == whose(DOCS)

    good = {"export canary": None, "RATE_LIMIT": None, "LOG_LEVEL": None}
    assert service.reload(**good)["changed"] == ["AVATAR_API_KEY"]
    assert owner(service.get()) == whose(NEW)
    assert metric(service, 'sentifyd_edge_reloads_total{result="failed"}') == 3


def test_new_servers_must_be_reachable(start: Start) -> None:
    service = start(RATE_LIMIT="2/day", UPSTREAM_TIMEOUT="1")
    assert service.get().status_code == 200
    with RedisServer() as redis, RedisServer(password="canary-redis") as other:
        reported = service.reload(REDIS_URL=f"redis://:canary@127.0.0.1:{redis.port}/0")
        [problem] = reported["problems"]
        assert str(problem).startswith("REDIS_URL: Redis cannot be used (AuthenticationError)")

        assert service.reload(REDIS_URL=redis.url)["changed"] == ["REDIS_URL"]
        assert '"limits_restarted"' in service.command.output
        assert metric(service, 'sentifyd_edge_redis_fallback{part="rate limits"}') == 0
        assert [service.get().status_code for _ in range(3)] == [200, 200, 429]

        # Another user of the same Redis finds the same counters.
        with redis.client() as client:
            client.execute_command("ACL", "SETUSER", "edge", "on", ">canary-p", "+@all", "~*")
        count = service.command.output.count("limits_restarted")
        service.reload(REDIS_URL=f"redis://edge:canary-p@127.0.0.1:{redis.port}/0")
        assert service.get().status_code == 429
        assert service.command.output.count("limits_restarted") == count

        service.reload(REDIS_URL=other.url)
        assert service.get().status_code == 200
        assert service.command.output.count("limits_restarted") == count + 1
        redis.stop()
        assert service.get().status_code == 200
        assert metric(service, 'sentifyd_edge_redis_fallback{part="rate limits"}') == 0
        assert service.reload(REDIS_URL=None)["changed"] == ["REDIS_URL"]


def test_new_issuer_must_have_keys(start: Start) -> None:
    service = start()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        reported = service.reload(
            VISITOR_AUTH="jwt",
            JWT_JWKS_URL=f"http://127.0.0.1:{silent.getsockname()[1]}/keys",
            JWT_ISSUER="https://login.example.com",
            JWT_AUDIENCE="docs",
            UPSTREAM_TIMEOUT="1",
        )
    [problem] = reported["problems"]
    assert str(problem).startswith("JWT_JWKS_URL: the key set cannot be fetched")
    # Still without sign-in.
    assert service.get().status_code == 200
    service.reload(
        **dict.fromkeys(("VISITOR_AUTH", "JWT_JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE")),
        UPSTREAM_TIMEOUT="2",
    )
    assert service.command.stop(signal.SIGTERM) == 0


def test_watched_volume_of_kubernetes(start: Start, tmp_path: Path) -> None:
    """As the kubelet updates a volume: a new folder, and `..data` is replaced by rename."""
    volume = tmp_path / "volume"
    volume.mkdir()

    def update(name: str, key: str) -> None:
        folder = volume / f"..2026_{name}"
        folder.mkdir()
        (folder / "avatar-key").write_text(key)
        (volume / "..data_tmp").symlink_to(folder.name)
        old = (volume / "..data").resolve()
        (volume / "..data_tmp").rename(volume / "..data")
        if old.name != "..data":
            (old / "avatar-key").unlink()
            old.rmdir()

    update("1", DOCS)
    (volume / "avatar-key").symlink_to("..data/avatar-key")
    service = start("--watch", AVATAR_API_KEY_FILE=str(volume / "avatar-key"))
    assert owner(service.get()) == whose(DOCS)

    update("2", NEW)
    assert service.reported()["changed"] == ["AVATAR_API_KEY_FILE"]
    assert owner(service.get()) == whose(NEW)
    update("3", "short")
    assert service.reported()["event"] == "settings_not_reloaded"
    assert owner(service.get()) == whose(NEW)
    # The first look after the start found nothing new, and is not reported.
    assert len(re.findall("settings_(?:not_)?reloaded", service.command.output)) == 2


def test_watch_needs_a_file() -> None:
    variables = {"AVATAR_API_KEY": DOCS, "ALLOWED_ORIGINS": ORIGIN, "PORT": "0"}
    with Command("sentifyd-edge", "serve", "--watch", **variables) as command:
        assert command.wait() == 2
    assert command.output.startswith("sentifyd-edge: --watch finds no file to watch: give --env")
    assert len(command.output.splitlines()) == 1


def test_exposed_file_and_traces_of_the_file(
    start: Start, tmp_path: Path, upstream: Upstream
) -> None:
    del upstream
    collector = f"http://127.0.0.1:{free_port()}"
    service = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert "env_file_exposed" not in service.command.output
    (tmp_path / "edge.env").chmod(0o644)
    service.command.send(signal.SIGHUP)
    assert service.reported()["changed"] == []
    (tmp_path / "edge.env").chmod(0o644)
    service.lines["RATE_LIMIT"] = "9/minute"
    with (tmp_path / "edge.env").open("a") as file:
        file.write("RATE_LIMIT=9/minute\n")
    service.command.send(signal.SIGHUP)
    assert service.reported()["changed"] == ["RATE_LIMIT"]
    assert '"env_file_exposed"' in service.command.output
    assert service.get().status_code == 200
    connection = HTTPConnection("127.0.0.1", service.port, timeout=TIMEOUT)
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200
    connection.close()
