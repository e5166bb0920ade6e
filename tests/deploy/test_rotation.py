"""Two token services behind nginx on one Redis: every secret changes, and no request fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests
from cryptography.fernet import Fernet

from tests.deploy.conftest import Host
from tests.deploy.test_two_processes import in_front_of
from tests.support.avatars import Upstream, avatar, owner, whose, write_avatars
from tests.support.load import Tally, Visitor, crowd
from tests.support.processes import Command
from tests.support.redis import RedisServer
from tests.support.servers import serving
from tests.support.service import Running
from tests.support.settings import ORIGIN
from tests.support.waiting import TIMEOUT, until

pytestmark = pytest.mark.stress

OLD, NEW = "canary-key-old", "canary-key-new"


class Replicas:
    """Two services with the same files."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        file = str(folder / "edge.env")
        command = ("sentifyd-edge", "serve", "--env-file", file, "--port", "0")
        self.services = [Running(stack.enter_context(Command(*command))) for _ in range(2)]

    def reload(self) -> None:
        for service in self.services:
            service.command.send(signal.SIGHUP)
            line = service.command.wait_for('.*"settings_(?:not_)?reloaded".*', TIMEOUT)[0]
            assert "settings_reloaded" in line, line

    @property
    def output(self) -> str:
        return "".join(service.command.output for service in self.services)


@contextmanager
def refreshing(port: int) -> Iterator[list[int]]:
    """A visitor who refreshes with the handle of the last answer; yields all statuses."""
    over = threading.Event()
    statuses: list[int] = []

    def refresh() -> None:
        url = f"http://127.0.0.1:{port}/request_tokens/direct"
        handle: str | None = None
        with requests.Session() as session:
            while not over.is_set():
                body: dict[str, str] = {} if handle is None else {"refreshToken": handle}
                answer = session.post(url, json=body, headers={"Origin": ORIGIN}, timeout=TIMEOUT)
                statuses.append(answer.status_code)
                handle = answer.json()["tokens"]["refreshToken"] if answer.ok else None

    with ThreadPoolExecutor(1) as pool:
        visit = pool.submit(refresh)
        try:
            yield statuses
        finally:
            over.set()
        visit.result()


def test_every_secret_is_rotated_under_load(host: Host, tmp_path: Path) -> None:
    seal_keys = [Fernet.generate_key().decode() for _ in range(2)]
    write_avatars(
        tmp_path,
        avatar("direct", "", key_file="avatar-key")
        + avatar("shared", "", key_file="avatar-key", policy="shared")
        + avatar("pool", "", key_file="avatar-key", policy="pool"),
    )
    (tmp_path / "avatar-key").write_text(OLD)
    (tmp_path / "seal-keys").write_text(seal_keys[0])
    (tmp_path / "edge.env").touch(0o600)
    upstream = Upstream()
    with ExitStack() as stack:
        upstream.url = stack.enter_context(serving(upstream.app()))
        redis = stack.enter_context(RedisServer(password="canary-admin"))
        admin = stack.enter_context(redis.client())

        def use_redis(name: str) -> None:
            admin.execute_command("ACL", "SETUSER", name, "on", f">canary-{name}", "+@all", "~*")
            lines = {
                "AVATARS_FILE": tmp_path / "avatars.toml",
                "ALLOWED_ORIGINS": ORIGIN,
                "SENTIFYD_BACKEND": upstream.url,
                "SEAL_KEYS_FILE": tmp_path / "seal-keys",
                "REDIS_URL": f"redis://{name}:canary-{name}@127.0.0.1:{redis.port}/0",
                "RATE_LIMIT": "999999/second",
                "TRUSTED_PROXIES": "127.0.0.1",
                "TOKEN_POOL_SIZE": "3",
                "UPSTREAM_TIMEOUT": "20",
            }
            text = "".join(f"{name}={value}\n" for name, value in lines.items())
            (tmp_path / "edge.env").write_text(text)

        use_redis("first")
        replicas = Replicas(tmp_path, stack)
        port = in_front_of(host, *(service.port for service in replicas.services))
        for service in replicas.services:
            until(lambda url=f"{service.base}/readyz": requests.get(url, timeout=TIMEOUT).ok)  # type: ignore[misc]
        tally = Tally()
        paths = [f"/request_tokens/{name}" for name in ("direct", "shared", "pool")]
        visitors = [
            Visitor(port, tally, keep=keep, path=path) for path in paths for keep in (True, False)
        ]
        with crowd(*visitors), refreshing(port) as refreshes:

            def let_visitors_come() -> None:
                answers, refreshed = tally.statuses.total() + 30, len(refreshes) + 3
                until(lambda: tally.statuses.total() > answers and len(refreshes) > refreshed)

            let_visitors_come()
            # The keys of handles, in the three steps that `keygen` describes.
            for keys in (seal_keys, seal_keys[::-1], seal_keys[1:]):
                (tmp_path / "seal-keys").write_text("\n".join(keys))
                replicas.reload()
                let_visitors_come()
            (tmp_path / "avatar-key").write_text(NEW)
            replicas.reload()
            let_visitors_come()
            use_redis("second")
            replicas.reload()
            let_visitors_come()
            # Redis ends the connections of a user that is deleted.
            admin.execute_command("ACL", "DELUSER", "first")
            let_visitors_come()
            count = upstream.keys.count(OLD)
            let_visitors_come()
            for path in paths:
                answer = requests.get(f"http://127.0.0.1:{port}{path}", timeout=TIMEOUT)
                assert owner(answer) == whose(NEW)
            assert upstream.keys.count(OLD) == count

        assert set(tally.statuses) == {200}
        assert (tally.lost, tally.refused, set(refreshes)) == ([], 0, {200})
        for service in replicas.services:
            assert service.command.stop(signal.SIGTERM) == 0
    for event in ("redis_unavailable", "limits_restarted", "canary", "Traceback"):
        assert event not in replicas.output


@pytest.mark.thorough
def test_login_budget_is_spent_and_renewed(host: Host, tmp_path: Path) -> None:
    (tmp_path / "edge.env").touch(0o600)
    upstream = Upstream()
    with ExitStack() as stack:
        upstream.url = stack.enter_context(serving(upstream.app()))
        redis = stack.enter_context(RedisServer())
        lines = {
            "AVATAR_API_KEY": OLD,
            "ALLOWED_ORIGINS": ORIGIN,
            "SENTIFYD_BACKEND": upstream.url,
            "REDIS_URL": redis.url,
            "RATE_LIMIT": "999999/second",
            "LOGIN_BUDGET": "6/10seconds",
            "TRUSTED_PROXIES": "127.0.0.1",
        }
        (tmp_path / "edge.env").write_text("".join(f"{n}={text}\n" for n, text in lines.items()))
        replicas = Replicas(tmp_path, stack)
        port = in_front_of(host, *(service.port for service in replicas.services))

        def ask() -> requests.Response:
            url = f"http://127.0.0.1:{port}/request_tokens"
            return requests.get(url, headers={"Origin": ORIGIN}, timeout=TIMEOUT)

        until(lambda: not ask().ok)
        until(lambda: ask().ok)
        # Just after a window has begun.
        before = len(upstream.keys)
        answers = [ask() for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [503] * 3
        assert len(upstream.keys) == before + 5
        spent = answers[-1]
        assert spent.json()["code"] == "budget_spent"
        assert spent.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert 1 <= int(spent.headers["Retry-After"]) <= 10
        for service in replicas.services:
            assert requests.get(f"{service.base}/readyz", timeout=TIMEOUT).ok
        until(lambda: ask().ok)
