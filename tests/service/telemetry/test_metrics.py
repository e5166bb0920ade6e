"""Metrics for Prometheus: useful to operators, without data about visitors."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import platform
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edge_service.issuing.pool import Pool
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.sealing import new_key
from edge_service.telemetry.metrics import Metrics
from tests.support.avatars import DOCS, Upstream, avatar, write_avatars
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.servers import RawUpstream, http_answer, serving
from tests.support.service import Service, StartService
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import TIMEOUT, until

Labels = frozenset[tuple[str, str]]
PREFIX = "sentifyd_edge_"


class Page:
    """The content of `/metrics`, as Prometheus parses it."""

    def __init__(self, base: str) -> None:
        answer = requests.get(f"{base}/metrics", timeout=TIMEOUT)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        self.text = answer.text
        self.samples: dict[tuple[str, Labels], float] = {}
        for family in text_string_to_metric_families(answer.text):
            assert family.documentation
            assert family.name.startswith((PREFIX, "process_"))
            for sample in family.samples:
                place = (sample.name, frozenset(sample.labels.items()))
                assert place not in self.samples
                self.samples[place] = sample.value

    def value(self, name: str, **labels: str) -> float:
        return self.samples.get((PREFIX + name, frozenset(labels.items())), 0)

    def labels(self, name: str) -> set[Labels]:
        return {labels for found, labels in self.samples if found == PREFIX + name}

    def requests(self, route: str, status: int) -> float:
        wanted = {("route", route), ("status", str(status))}
        return sum(
            value
            for (name, labels), value in self.samples.items()
            if name == f"{PREFIX}request_duration_seconds_count" and wanted <= labels
        )

    def logins(self, avatar: str, outcome: str) -> float:
        return self.value("login_duration_seconds_count", avatar=avatar, outcome=outcome)


def ready(base: str) -> bool:
    answer = requests.get(f"{base}/readyz", timeout=TIMEOUT)
    assert answer.status_code in (200, 503)
    assert (answer.status_code == 503) == (answer.json() == {"status": "starting"})
    assert ("Retry-After" in answer.headers) == (answer.status_code == 503)
    return answer.status_code == 200


def test_requests_are_counted_by_route_and_status(
    start_service: StartService, sandbox_url: str, tmp_path: Path
) -> None:
    path = write_avatars(tmp_path, avatar("docs", KEY))
    service = start_service(sandbox_url, AVATARS_FILE=str(path), RATE_LIMIT="2/day")
    for _ in range(3):
        service.get("?refreshToken=canary")
    service.get("/docs")
    service.get("/docs", origin="https://evil.example")
    service.get("/canary")
    service.call("PUT")
    requests.get(f"{service.base}/livez", timeout=TIMEOUT)
    page = Page(service.base)

    tokens, several = "/request_tokens", "/request_tokens/{avatar}"
    assert page.requests(tokens, 200) == 2
    assert page.requests(tokens, 429) == 1
    assert page.requests(tokens, 405) == 1
    assert page.requests(several, 200) == 1
    assert page.requests(several, 403) == 1
    assert page.requests(several, 404) == 1
    assert page.requests("/livez", 200) == 1
    assert page.value("request_duration_seconds_sum", route=tokens, status="200", code="") > 0
    assert page.value(
        "request_duration_seconds_count", route=tokens, status="429", code="rate_limited"
    )
    assert page.value("rate_limited_total", avatar="(default)") == 1
    assert page.value("rate_limited_total", avatar="docs") == 0


def test_build_info_has_the_versions(service: Service) -> None:
    version = importlib.metadata.version("mkdocs-sentifyd")
    page = Page(service.base)

    assert page.value("build_info", version=version, python=platform.python_version()) == 1


def test_service_without_metadata_of_its_distribution_reports_an_unknown_version(
    start_service: StartService, sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    service = start_service(sandbox_url)

    assert service.get().status_code == 200
    labels = {"version": "unknown", "python": platform.python_version()}
    assert Page(service.base).value("build_info", **labels) == 1
    described = requests.get(f"{service.base}/openapi.json", timeout=TIMEOUT)
    assert described.json()["info"]["version"] == "unknown"


def test_requests_in_flight_are_counted_until_their_answer(start_service: StartService) -> None:
    def in_flight() -> float:
        # Without the request for the metrics itself.
        return Page(service.base).value("requests_in_flight") - 1

    upstream = Upstream()
    with serving(upstream.app()) as upstream.url:
        service = start_service(upstream.url)
        assert in_flight() == 0
        with ThreadPoolExecutor(2) as visitors, upstream.holding(KEY):
            waiting = [visitors.submit(service.get) for _ in range(2)]
            until(lambda: upstream.held == 2)
            assert in_flight() == 2
            assert service.get(origin="https://evil.example").status_code == 403
            until(lambda: in_flight() == 2)
        assert [answer.result().status_code for answer in waiting] == [200, 200]
        until(lambda: in_flight() == 0)


def test_untrusted_input_creates_no_series(service: Service) -> None:
    def ask(path: str, **headers: str) -> None:
        with requests.Session() as session:
            request = requests.Request("GET", service.base, headers=headers).prepare()
            request.url = service.base + path
            session.send(request, timeout=TIMEOUT)

    ask("/nowhere")
    ask("/request_tokens/nobody")
    Page(service.base)
    before = Page(service.base).samples.keys()

    @settings(max_examples=50, deadline=None)
    @given(st.text(st.characters(codec="ascii", exclude_characters="?#\r\n"), min_size=1))
    def unknown(text: str) -> None:
        name = "".join(f"%{ord(letter):02x}" for letter in text)
        ask(f"/{name}/canary")
        ask(f"/request_tokens/{name}")

    unknown()
    ask("/nowhere?canary", User_Agent="canary", Origin="https://canary.example")
    page = Page(service.base)

    assert page.samples.keys() == before
    assert "canary" not in page.text
    assert page.requests("other", 404) >= 51


def test_logins_are_counted_by_outcome(
    service: Service, sandbox: Sandbox, start_service: StartService, sandbox_url: str
) -> None:
    service.get()
    sandbox.fault = Fault("status", status=400)
    service.get()
    sandbox.fault = Fault("garbage")
    service.get()
    page = Page(service.base)

    assert page.logins("(default)", "ok") == 1
    assert page.logins("(default)", "upstream_rejected_400") == 1
    assert page.logins("(default)", "upstream_malformed") == 1
    assert page.value("login_duration_seconds_sum", avatar="(default)", outcome="ok") > 0

    sandbox.fault = Fault("delay", seconds=1)
    slow = start_service(sandbox_url, UPSTREAM_TIMEOUT="0.1")
    slow.get()
    assert Page(slow.base).logins("(default)", "upstream_timeout") == 1
    sandbox.fault = None


def test_unexpected_login_error_is_counted_as_internal_error(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explode(_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("edge_service.upstream.logins.AvatarLogin.login", explode)
    assert service.get().status_code == 500

    assert Page(service.base).logins("(default)", "internal_error") == 1


def test_circuit_reports_its_state(service: Service, sandbox: Sandbox, sandbox_url: str) -> None:
    def state() -> str:
        page = Page(service.base)
        states = {
            name: page.value("circuit_state", upstream=f"{sandbox_url}/api/login", state=name)
            for name in ("closed", "half-open", "open")
        }
        assert sorted(states.values()) == [0, 0, 1]
        return next(name for name, on in states.items() if on)

    assert state() == "closed"
    sandbox.fault = Fault("status", status=503)
    for _ in range(6):
        service.get()

    assert state() == "open"
    page = Page(service.base)
    assert page.logins("(default)", "upstream_rejected_503") == 5
    assert page.logins("(default)", "circuit_open") == 1
    assert page.requests("/request_tokens", 503) == 6


def test_hits_and_misses_of_a_shared_grant_are_counted(
    start_service: StartService, sandbox_url: str
) -> None:
    service = start_service(sandbox_url, TOKEN_POLICY="shared")
    for _ in range(4):
        service.get()
    page = Page(service.base)

    labels = {"avatar": "(default)", "policy": "shared"}
    assert page.value("grants_total", result="miss", **labels) == 1
    assert page.value("grants_total", result="hit", **labels) == 3
    assert page.logins("(default)", "ok") == 1


def test_pool_reports_its_level_and_readiness(start_service: StartService, tmp_path: Path) -> None:
    upstream = Upstream()
    path = write_avatars(tmp_path, avatar("docs", DOCS, policy="pool"))
    with serving(upstream.app()) as upstream.url:
        with upstream.holding(DOCS) as arrived:
            service = start_service(upstream.url, AVATARS_FILE=str(path), TOKEN_POOL_SIZE="2")
            assert arrived.wait(TIMEOUT)
            until(lambda: upstream.held == 2)
            # A readiness request causes no login.
            assert [ready(service.base) for _ in range(10)] == [False] * 10
            assert requests.get(f"{service.base}/livez", timeout=TIMEOUT).status_code == 200
            page = Page(service.base)
            assert page.labels("pool_level") == {frozenset({("avatar", "docs")})}
            assert page.value("pool_level", avatar="docs") == 0
            assert page.value("pool_age_seconds", avatar="docs") == 0
            assert upstream.keys == [DOCS, DOCS]
        until(lambda: ready(service.base))
        page = Page(service.base)
        assert page.value("pool_level", avatar="docs") == 2
        assert 0 < page.value("pool_age_seconds", avatar="docs") < 2 * TIMEOUT
        older = Page(service.base)
        assert older.value("pool_age_seconds", avatar="docs") > page.value(
            "pool_age_seconds", avatar="docs"
        )

        labels = {"avatar": "docs", "policy": "pool"}
        with ThreadPoolExecutor(1) as visitors, upstream.holding(DOCS):
            assert [service.get("/docs").status_code for _ in range(2)] == [200, 200]
            assert Page(service.base).value("pool_level", avatar="docs") == 0
            # A request to the empty pool logs in, and the service stays ready.
            third = visitors.submit(service.get, "/docs")
            until(lambda: Page(service.base).value("grants_total", result="miss", **labels) == 1)
            assert ready(service.base)
        assert third.result().status_code == 200
        assert Page(service.base).value("grants_total", result="hit", **labels) == 2


def test_refused_handles_are_counted(
    start_service: StartService, sandbox_url: str, tmp_path: Path
) -> None:
    path = write_avatars(tmp_path, avatar("docs", KEY))
    service = start_service(sandbox_url, AVATARS_FILE=str(path), SEAL_KEYS=new_key())
    handle = service.get().json()["tokens"]["refreshToken"]
    assert service.get(f"?refreshToken={handle}").status_code == 200
    service.get(f"/docs?refreshToken={handle}")
    service.get(f"/docs?refreshToken={handle}")
    service.get("?refreshToken=canary")
    page = Page(service.base)

    def refused(name: str, code: str) -> float:
        assert frozenset({("avatar", name), ("code", code)}) in page.labels("handles_refused_total")
        return page.value("handles_refused_total", avatar=name, code=code)

    assert [refused("docs", code) for code in ("handle_refused", "malformed_handle")] == [2, 0]
    assert [refused("(default)", code) for code in ("handle_refused", "malformed_handle")] == [0, 1]


def test_pools_are_read_in_their_own_event_loop(
    start_service: StartService, sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read from another thread, they could change meanwhile, and the page would fail."""
    loops, looks = set(), set()

    async def fill(_: Pool) -> None:
        loops.add(threading.get_ident())

    def level(_: Pool) -> int:
        looks.add(threading.get_ident())
        return 7

    monkeypatch.setattr(Pool, "_fill", fill)
    monkeypatch.setattr(Pool, "level", property(level))
    service = start_service(sandbox_url, TOKEN_POLICY="pool")

    assert Page(service.base).value("pool_level", avatar="(default)") == 7
    assert looks == loops


def test_metrics_can_have_their_own_port(sandbox_url: str) -> None:
    port = free_port()
    with Command(
        *("sentifyd-edge", "serve", "--port", "0"),
        AVATAR_API_KEY=KEY,
        ALLOWED_ORIGINS=ORIGIN,
        SENTIFYD_BACKEND=sandbox_url,
        METRICS_PORT=str(port),
    ) as command:
        service = Service(f"http://127.0.0.1:{command.wait_for(r'port.: ?([0-9]+)')[1]}")
        private = f"http://127.0.0.1:{port}"
        assert service.get().status_code == 200
        hidden = requests.get(f"{service.base}/metrics", timeout=TIMEOUT)
        elsewhere = [
            requests.get(f"{private}/{path}", timeout=TIMEOUT).status_code
            for path in ("request_tokens", "livez", "readyz", "")
        ]
        page = Page(private)
        assert command.stop() == 0

    assert (hidden.status_code, hidden.json()["code"]) == (404, "not_found")
    assert elsewhere == [404] * 4
    assert page.requests("/request_tokens", 200) == 1
    assert page.requests("other", 404) == 1
    assert "Traceback" not in command.output


@pytest.fixture
def leaky() -> Iterator[RawUpstream]:
    """An upstream that returns every secret it knows, every other time with an error."""
    tokens = {"access_token": "canary-access", "refresh_token": "canary-refresh"}
    grant = json.dumps({"data": {**tokens, "avatar_params": {"a": "canary-parameter"}}}).encode()
    answers = [
        http_answer("200 OK", grant),
        http_answer("401 Unauthorized", json.dumps({KEY: "canary-details"}).encode()),
    ]

    def behave(connection: socket.socket) -> None:
        connection.sendall(answers[len(raw.received) % 2])

    with RawUpstream(behave) as raw:
        yield raw


def test_metrics_contain_no_visitor_data_and_no_secret(
    start_service: StartService, leaky: RawUpstream, tmp_path: Path
) -> None:
    seal_key = new_key()
    path = write_avatars(tmp_path, avatar("docs", "canary-key-docs", avatar_id="canary-avatar-id"))
    service = start_service(
        leaky.url,
        AVATARS_FILE=str(path),
        SEAL_KEYS=seal_key,
        RATE_LIMIT="3/day",
        VISITOR_AUTH="forwarded",
        TRUSTED_PROXIES="127.0.0.0/8",
    )
    seen = set()
    for where in ("", "/docs", "/canary-id"):
        for user in ("canary-user", "canary-guest", ""):
            for query in ("", "?canary=canary", "?refreshToken=canary", "?refreshToken=canary"):
                headers = {
                    "X-Forwarded-User": user,
                    "X-Forwarded-For": "203.0.113.77",
                    "X-Request-ID": "canary-request",
                    "User-Agent": "canary-agent",
                    "Authorization": "Bearer canary-bearer",
                    "Cookie": "session=canary-cookie",
                }
                seen.add(service.call("GET", where + query, headers=headers).status_code)
    page = Page(service.base)

    assert seen == {200, 400, 401, 404, 429}
    for secret in ("canary", "203.0.113", seal_key, ORIGIN, "example"):
        assert secret not in page.text
    for name, labels in page.samples:
        if name.startswith(PREFIX):
            assert {label for label, _ in labels} <= {
                *("route", "status", "avatar", "outcome", "policy", "result", "le"),
                *("upstream", "state", "code", "part", "version", "python"),
            }


def test_readiness_without_a_pool_needs_no_login(service: Service, sandbox: Sandbox) -> None:
    assert [ready(service.base) for _ in range(5)] == [True] * 5
    assert sandbox.logins == 0


@pytest.mark.stress
def test_event_loop_does_not_wait_while_many_series_are_rendered() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.avatar(f"avatar-{number}", "direct")
    default = sys.getswitchinterval()
    turns: list[float] = []

    async def measure() -> None:
        page = asyncio.create_task(metrics.page())
        while not page.done():
            began = time.perf_counter()
            # Waiting hands the interpreter's lock to the other thread.
            await asyncio.sleep(0.001)
            turns.append(time.perf_counter() - began)
        assert len((await page).body) > 1_000_000

    # In another thread, because a browser test may have left a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(measure())).result()

    # Without a shorter interval, that thread keeps the lock for this time at least.
    assert statistics.median(turns) < default
    assert sys.getswitchinterval() == default
