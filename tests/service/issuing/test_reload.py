"""SIGHUP: the avatars change at once, without an effect on visitors."""

from __future__ import annotations

import asyncio
import json
import operator
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_service.issuing.avatars import MAX_PARALLEL_REFILLS, Avatars
from edge_service.server.http_protocol import MAX_PIPELINED
from edge_service.settings import Settings
from edge_service.telemetry.metrics import Metrics
from tests.support.avatars import (
    DOCS,
    SHOP,
    SHOP_ORIGIN,
    Upstream,
    allowed,
    avatar,
    owner,
    whose,
    write_avatars,
)
from tests.support.processes import Command
from tests.support.servers import serving
from tests.support.service import Running, Service, is_ready, metric
from tests.support.settings import KEY, ORIGIN, avatar_settings
from tests.support.waiting import TIMEOUT, until

NEW = "canary-key-new"
SERVE = ("sentifyd-edge", "serve", "--port", "0")


class Reloaded(Running):
    """A service in its own process, and the file that it reloads."""

    def __init__(self, command: Command, folder: Path) -> None:
        super().__init__(command)
        self._folder = folder

    def reload(self, content: str) -> str:
        """Write the file, send the signal, and wait for the line with the result."""
        write_avatars(self._folder, content)
        self.command.send(signal.SIGHUP)
        return self.command.wait_for("settings_(not_)?reloaded", TIMEOUT).string

    def metrics(self) -> str:
        return requests.get(f"{self.base}/metrics", timeout=TIMEOUT).text


Start = Callable[..., Reloaded]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    with serving(upstream.app()) as upstream.url:
        yield upstream


@pytest.fixture
def start(upstream: Upstream, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(content: str, **variables: str) -> Reloaded:
            environ = {
                "AVATARS_FILE": str(write_avatars(tmp_path, content)),
                "ALLOWED_ORIGINS": ORIGIN,
                "SENTIFYD_BACKEND": upstream.url,
                "RATE_LIMIT": "999999/hour",
                "UPSTREAM_TIMEOUT": str(TIMEOUT),
                **variables,
            }
            return Reloaded(stack.enter_context(Command(*SERVE, **environ)), tmp_path)

        yield start


def reloads(service: Reloaded) -> dict[str, int]:
    """The counts of reloads by result, without those that are zero."""
    line = r'^sentifyd_edge_reloads_total{result="(\w+)"} (\d+)'
    found = re.findall(line, service.metrics(), re.MULTILINE)
    return {result: int(number) for result, number in found if number != "0"}


def test_reload_adds_removes_and_changes_avatars(start: Start) -> None:
    service = start(avatar("docs", DOCS) + avatar("shop", SHOP))
    assert owner(service.get("/docs")) == whose(DOCS)
    assert service.get("/more").status_code == 404

    reported = service.reload(
        avatar("docs", NEW, allowed_origins=[SHOP_ORIGIN]) + avatar("more", SHOP)
    )

    assert "settings_reloaded" in reported
    assert owner(service.get("/docs", origin=SHOP_ORIGIN)) == whose(NEW)
    refused = service.get("/docs", origin=ORIGIN)
    assert (refused.status_code, allowed(refused)) == (403, None)
    assert owner(service.get("/more")) == whose(SHOP)
    assert service.get("/shop").status_code == 404
    assert "canary" not in service.command.output


def test_reload_reads_key_files_again(start: Start, tmp_path: Path) -> None:
    content = avatar("docs", "", key_file="docs.key")
    (tmp_path / "docs.key").write_text(DOCS)
    service = start(content)
    assert owner(service.get()) == whose(DOCS)

    (tmp_path / "docs.key").write_text(NEW)
    service.reload(content)

    assert owner(service.get()) == whose(NEW)


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        (f"key = = {NEW}", ["AVATARS_FILE: the file is not TOML (at line 1, column 7)"]),
        (f'default = ["{NEW}"]\n{avatar("docs", NEW)}', ["AVATARS_FILE: default must be the id"]),
        (
            avatar("docs", NEW, policy=NEW) + avatar("docs", ""),
            [
                "avatar 1: policy must be",
                "avatar 2: key_file is missing",
                "avatar 2: id is already used",
            ],
        ),
    ],
)
def test_invalid_file_changes_nothing_and_is_reported(
    start: Start, content: str, reasons: list[str]
) -> None:
    service = start(avatar("docs", DOCS))

    reported = json.loads(service.reload(content))

    assert (reported["event"], reported["level"]) == ("settings_not_reloaded", "error")
    assert len(reported["problems"]) == len(reasons)
    for problem, beginning in zip(reported["problems"], reasons, strict=True):
        assert beginning in problem
    assert owner(service.get("/docs")) == whose(DOCS)
    assert reloads(service) == {"failed": 1}
    assert "settings_reloaded" in service.reload(avatar("docs", NEW))
    assert owner(service.get("/docs")) == whose(NEW)
    assert reloads(service) == {"failed": 1, "ok": 1}
    assert service.command.stop() == 0
    assert "canary" not in service.command.output
    assert "Traceback" not in service.command.output


def test_reload_cannot_break_visitor_identity_rules(start: Start) -> None:
    service = start(avatar("docs", DOCS), VISITOR_AUTH="forwarded", TRUSTED_PROXIES="127.0.0.0/8")

    reported = service.reload(avatar("docs", DOCS, policy="shared"))

    assert "TOKEN_POLICY shared gives every visitor the same tokens" in reported
    assert len({service.get(X_Forwarded_User="anna").text for _ in range(2)}) == 2


@contextmanager
def pending_request(
    service: Service, upstream: Upstream, key: str, path: str
) -> Iterator[list[str]]:
    """A request whose login lasts until the block ends; the list then has its token's owner."""
    owners: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with upstream.holding(key) as arrived:
            request = pool.submit(service.get, path)
            assert arrived.wait(TIMEOUT)
            yield owners
        owners.append(owner(request.result()))


def test_pending_request_keeps_the_avatar_it_started_with(start: Start, upstream: Upstream) -> None:
    service = start(avatar("docs", DOCS) + avatar("shop", SHOP))
    with pending_request(service, upstream, DOCS, "/docs") as owners:
        service.reload(avatar("docs", NEW) + avatar("shop", SHOP))
        assert owner(service.get("/docs")) == whose(NEW)
    assert owners == [whose(DOCS)]

    with pending_request(service, upstream, NEW, "/docs") as owners:
        service.reload(avatar("shop", SHOP))
        assert service.get("/docs").status_code == 404
    assert owners == [whose(NEW)]


def test_avatars_that_change_upstream_keep_pending_requests(
    start: Start, upstream: Upstream
) -> None:
    other = Upstream()
    with serving(other.app()) as other.url:
        service = start(avatar("shop", SHOP) + avatar("docs", DOCS) + avatar("more", NEW))
        with pending_request(service, upstream, DOCS, "/docs") as owners:
            service.reload("".join(avatar(n, NEW, backend=other.url) for n in ("docs", "shop")))
            # By now the two unused ones are closed.
            assert owner(service.get("/docs")) == whose(NEW)
            assert owner(service.get("/shop")) == whose(NEW)
        assert owners == [whose(DOCS)]
        assert other.keys == [NEW, NEW]
        # The upstream disappears from the metrics once it is unused.
        until(lambda: upstream.url not in service.metrics())
        assert other.url in service.metrics()
        assert service.command.stop() == 0
    assert "Traceback" not in service.command.output


def test_no_request_fails_during_reloads(start: Start) -> None:
    def content(number: int) -> str:
        policy = ("direct", "shared", "pool")[number % 3]
        return (
            avatar("docs", f"canary-key-{number}")
            + avatar("shop", SHOP, policy=policy)
            + (avatar("more", NEW, allowed_origins=[SHOP_ORIGIN]) if number % 2 else "")
        )

    service = start(content(0), TOKEN_POOL_SIZE="2")
    over = threading.Event()
    seen: dict[str, set[str]] = {"/docs": set(), "/shop": set()}

    def visit(path: str) -> None:
        with requests.Session() as session:
            while not over.is_set():
                headers = {"Origin": ORIGIN}
                answer = session.get(service.url + path, headers=headers, timeout=TIMEOUT)
                seen[path].add(owner(answer))

    with ThreadPoolExecutor(4) as pool:
        visits = [pool.submit(visit, path) for path in ("/docs", "/shop") * 2]
        try:
            for number in range(6):
                if number:
                    assert "settings_reloaded" in service.reload(content(number))
                until(partial(operator.contains, seen["/docs"], whose(f"canary-key-{number}")))
        finally:
            over.set()
        for finished in visits:
            finished.result()

    assert seen["/docs"] == {whose(f"canary-key-{number}") for number in range(6)}
    assert seen["/shop"] == {whose(SHOP)}
    assert owner(service.get("/docs")) == whose("canary-key-5")
    assert service.command.stop() == 0
    assert "Traceback" not in service.command.output
    assert '"status":500' not in service.command.output.replace(" ", "")


def test_change_of_origins_needs_no_login(start: Start, upstream: Upstream) -> None:
    def content(*origins: str) -> str:
        return avatar("docs", DOCS, policy="shared", allowed_origins=origins) + avatar(
            "shop", SHOP, policy="pool", allowed_origins=origins
        )

    service = start(content(ORIGIN), TOKEN_POOL_SIZE="2")
    until(lambda: is_ready(service))
    before = service.get("/docs").json()
    assert sorted(upstream.keys) == [DOCS, SHOP, SHOP]

    service.reload(content(ORIGIN, SHOP_ORIGIN))

    assert requests.get(f"{service.base}/readyz", timeout=TIMEOUT).status_code == 200
    assert service.get("/docs", origin=SHOP_ORIGIN).json() == before
    assert sorted(upstream.keys) == [DOCS, SHOP, SHOP]
    pooled = service.get("/shop", origin=SHOP_ORIGIN)
    assert int(pooled.json()["tokens"]["accessToken"].partition("-")[2]) in {
        number for number, key in enumerate(upstream.keys[:3], 1) if key == SHOP
    }


def test_removed_pool_stops_logging_in(start: Start, upstream: Upstream) -> None:
    docs = avatar("docs", DOCS)
    service = start(docs + avatar("shop", SHOP, policy="pool"), TOKEN_POOL_SIZE="1000")
    until(lambda: len(upstream.keys) > 2)
    assert 'pool_level{avatar="shop"}' in service.metrics()

    with upstream.holding(SHOP):
        # So that none can still arrive when they are counted.
        until(lambda: upstream.held == MAX_PARALLEL_REFILLS)
        count = upstream.keys.count(SHOP)
        service.reload(docs)
        assert owner(service.get("/docs")) == whose(DOCS)
    assert "pool_level{" not in service.metrics()
    assert service.get("/shop").status_code == 404
    # More time than the pool's filler lets pass between two logins.
    threading.Event().wait(0.4)
    assert upstream.keys.count(SHOP) == count


class LargeAnswers(Upstream):
    """Sends answers so large that a few of them fill all buffers."""

    async def _login(self, request: Request) -> Response:
        answer = json.loads(bytes((await super()._login(request)).body))
        answer["data"]["avatar_params"] = {"text": "a" * 250_000}
        return JSONResponse(answer)


def issued(service: Reloaded) -> int:
    """The number of grants that were requested from the pool so far."""
    line = r'^sentifyd_edge_grants_total{.*policy="pool".*} (\d+)'
    return sum(map(int, re.findall(line, service.metrics(), re.MULTILINE)))


def test_visitor_who_does_not_read_keeps_no_removed_key_in_use(start: Start) -> None:
    """The visitor's grant is issued; an unread response needs no further login."""
    requested = MAX_PIPELINED
    upstream = LargeAnswers()
    with serving(upstream.app()) as upstream.url, socket.socket() as visitor:
        service = start(
            avatar("docs", DOCS, policy="pool"),
            TOKEN_POOL_SIZE="1000",
            SENTIFYD_BACKEND=upstream.url,
        )
        # Enough that no answer waits for a login.
        until(lambda: metric(service, "sentifyd_edge_pool_level{") >= requested)
        visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        visitor.connect(("127.0.0.1", int(service.base.rpartition(":")[2])))
        visitor.sendall(
            f"GET /request_tokens/docs HTTP/1.1\r\nHost: x\r\nOrigin: {ORIGIN}\r\n\r\n".encode()
            * requested
        )
        counts = [0]

        def is_stuck() -> bool:
            """Whether the service answers other requests, but not this visitor's."""
            counts.append(issued(service))
            return counts[-1] > 0 and len(set(counts[-20:])) == 1 and len(counts) > 20

        until(is_stuck)
        assert counts[-1] < requested

        service.reload(avatar("docs", NEW))

        assert owner(service.get("/docs")) == whose(NEW)
        # Pending logins may still arrive; the filler itself would start ten in a second.
        threading.Event().wait(0.3)
        count = upstream.keys.count(DOCS)
        threading.Event().wait(0.6)
        assert upstream.keys.count(DOCS) == count
        # All this time the visitor's answers were incomplete.
        assert issued(service) == counts[-1]
        assert visitor.recv(12) == b"HTTP/1.1 200"


def test_old_avatars_serve_until_a_new_pool_is_full(
    start: Start, upstream: Upstream, tmp_path: Path
) -> None:
    docs = avatar("docs", DOCS)
    service = start(docs, TOKEN_POOL_SIZE="1")
    with upstream.holding(SHOP) as arrived:
        write_avatars(tmp_path, docs + avatar("shop", SHOP, policy="pool"))
        service.command.send(signal.SIGHUP)
        assert arrived.wait(TIMEOUT)
        assert requests.get(f"{service.base}/readyz", timeout=TIMEOUT).status_code == 200
        assert owner(service.get("/docs")) == whose(DOCS)
        assert service.get("/shop").status_code == 404
    service.command.wait_for("settings_reloaded", TIMEOUT)
    assert owner(service.get("/shop")) == whose(SHOP)
    assert requests.get(f"{service.base}/readyz", timeout=TIMEOUT).status_code == 200


def test_removed_pool_in_use_is_closed_with_the_service() -> None:
    async def work() -> None:
        avatars = Avatars(Settings(avatars={"": avatar_settings(policy="pool")}), Metrics(), None)
        avatars.start()
        found = avatars.find("")
        assert found is not None
        found.context.enter()
        avatars.replace({})
        await avatars.close()
        found.context.leave()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    # In its own thread, because a browser test may have left a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work()).result()


def test_pool_that_a_reload_adds_to_a_draining_service_is_not_filled() -> None:
    async def work() -> None:
        avatars = Avatars(Settings(avatars={"": avatar_settings()}), Metrics(), None)
        avatars.start()
        avatars.drain()
        avatars.replace({"": avatar_settings(policy="pool")})
        assert avatars.draining
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        assert [task for task in tasks if "_fill" in repr(task.get_coro())] == []
        await avatars.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work()).result()


def test_sighup_without_a_file_stops_the_process() -> None:
    with Command(*SERVE, AVATAR_API_KEY=KEY, ALLOWED_ORIGINS=ORIGIN) as command:
        command.port()
        command.send(signal.SIGHUP)
        assert command.wait() == -signal.SIGHUP
