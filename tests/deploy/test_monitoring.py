"""The rules and the dashboard of `deploy/monitoring`, with a real Prometheus and a real service."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
import yaml

from edge_service.errors import ClientError, ServiceError
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.sealing import new_key
from scripts.dashboard import DASHBOARD, PICTURES, draw, drawn_queries, queries
from scripts.plots import PALETTES
from tests.deploy.conftest import Serve
from tests.support.avatars import avatar, write_avatars
from tests.support.ports import free_port
from tests.support.prometheus import Prometheus, executable
from tests.support.redis import RedisServer
from tests.support.service import Running
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import TIMEOUT, until

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
COMPONENT = FOLDER.parent / "kubernetes" / "components" / "monitoring"
RULES: dict[str, Any] = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))
ALL_RULES = [rule for group in RULES["groups"] for rule in group["rules"]]
RECORDS = [rule["record"] for rule in ALL_RULES if "record" in rule]
ALERTS = [rule for rule in ALL_RULES if "alert" in rule]
DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"
# Seconds; each condition needs several scrapes, and many requests between them.
PATIENCE = 3 * TIMEOUT
# The only errors with LOGIN_BUDGET; the first is not a failure.
BUDGET = {"budget_spent", "budget_unavailable"}


def promtool(*arguments: str) -> None:
    command = [executable("promtool"), *arguments]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def error_codes() -> dict[str, bool]:
    """The code of every error, and whether the service or Sentifyd is its cause."""
    kinds = [ServiceError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.code: not issubclass(kind, ClientError) for kind in kinds if "code" in vars(kind)}


def test_configuration_and_rules_are_valid() -> None:
    promtool("check", "config", "prometheus.yaml")


def test_the_example_scrapes_the_two_instances_of_the_systemd_unit() -> None:
    jobs = yaml.safe_load((FOLDER / "prometheus.yaml").read_text(encoding="utf-8"))
    [job] = jobs["scrape_configs"]
    [targets] = [group["targets"] for group in job["static_configs"]]
    unit = (FOLDER.parent / "nginx/sentifyd-edge@.service").read_text(encoding="utf-8")
    [port] = re.findall(r"METRICS_PORT=(\S+)", unit)
    assert targets == [f"127.0.0.1:{port.replace('%i', each)}" for each in ("8080", "8081")]


def test_rules_do_what_their_tests_expect() -> None:
    promtool("test", "rules", "rules_test.yaml")


def test_every_alert_is_tested() -> None:
    tests = yaml.safe_load((FOLDER / "rules_test.yaml").read_text(encoding="utf-8"))["tests"]
    checks = [check for test in tests for check in test.get("alert_rule_test", [])]
    fires = {
        (check["alertname"], expected["exp_labels"]["severity"])
        for check in checks
        for expected in check["exp_alerts"]
    }
    silent = {check["alertname"] for check in checks if not check["exp_alerts"]}
    assert fires == {(alert["alert"], alert["labels"]["severity"]) for alert in ALERTS}
    assert silent == {name for name, _ in fires}


def test_only_errors_of_service_and_sentifyd_count_as_failures() -> None:
    codes = error_codes()
    assert sum(codes.values()) > 8
    rules = [rule for rule in ALL_RULES if "token_failures" in rule.get("record", "")]
    assert len(rules) == 5
    for rule in rules:
        [pattern] = re.findall(r'code=~"([^"]+)"', rule["expr"])
        counted = {code: bool(re.fullmatch(pattern, code)) for code in codes}
        assert counted == {code: own and code != "budget_spent" for code, own in codes.items()}
        # All requests: those with tokens, which have no code, and the failures.
        total = rule["record"].replace("failures", "requests")
        [requested] = [other["expr"] for other in ALL_RULES if other.get("record") == total]
        assert f'code=~"|{pattern}"' in requested


def test_refusals_that_alert_are_errors_of_visitors() -> None:
    [rule] = [rule for rule in ALERTS if rule["alert"] == "SentifydEdgeMostRefused"]
    [pattern] = set(re.findall(r'code=~"([^"]+)"', rule["expr"]))
    codes = error_codes()
    named = set(pattern.split("|")) - BUDGET
    assert {code for code in named if codes[code]} == set()
    assert {"rate_limited", "origin_not_allowed", "unauthenticated"} <= named


def test_kubernetes_has_the_same_rules() -> None:
    resource = yaml.safe_load((COMPONENT / "prometheusrule.yaml").read_text(encoding="utf-8"))
    assert resource["spec"] == RULES


def test_every_alert_has_an_entry_in_the_runbook(documentation: Path) -> None:
    page = (documentation / "deploy/runbook/index.html").read_text(encoding="utf-8")
    entries = set(re.findall(r'<h2 id="(sentifydedge\w+)"', page))
    assert entries == {alert["alert"].lower() for alert in ALERTS}
    for alert in ALERTS:
        url = alert["annotations"]["runbook_url"]
        anchor = alert["alert"].lower()
        assert url == f"https://runbooks.example.com/deploy/runbook/#{anchor}"


def test_dashboard_can_be_imported() -> None:
    content = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    # Grafana 10.0; later versions convert older schemas.
    assert content["schemaVersion"] <= 38
    panels = content["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    assert [v["name"] for v in content["templating"]["list"]] == ["datasource", "job", "instance"]
    shown = [panel for panel in panels if panel["type"] != "row"]
    sources = [t["datasource"] for panel in shown for t in [panel, *panel["targets"]]]
    sources += [v["datasource"] for v in content["templating"]["list"] if "datasource" in v]
    assert {json.dumps(source) for source in sources} == {
        '{"type": "prometheus", "uid": "${datasource}"}'
    }
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) == 23


def test_picture_shows_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    fix = "run python -m scripts.dashboard to draw it again"
    texts = {
        ElementTree.parse(file).findtext(f".//{{{DUBLIN_CORE}}}description")
        for file in PICTURES.values()
    }
    # Both palettes have the same numbers.
    [text] = texts
    assert text
    shown = json.loads(text)
    assert shown["queries"] == [query.expression for query in drawn_queries()], fix
    assert all(len(series) > 1 for series in shown["numbers"].values())
    file, again = PICTURES["light"], tmp_path / "again.svg"
    draw(shown["numbers"], PALETTES["light"], again)
    # Another version may draw the same numbers differently.
    if f"Matplotlib v{mpl.__version__}," in file.read_text(encoding="utf-8"):
        assert strokes(again) == strokes(file), fix


def strokes(file: Path) -> str:
    """The drawing, with numbers rounded, because another processor may compute them differently."""
    text = file.read_text(encoding="utf-8").replace("\r", "")
    return re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):z.0f}", text)


@dataclass
class Watched:
    """Two services that Prometheus scrapes; the second one cannot fetch the issuer's keys."""

    prometheus: Prometheus
    service: Running
    second: Running
    redis: RedisServer
    sandbox: Sandbox
    avatars_file: Path

    def ask(self, path: str = "", count: int = 1, at_once: int = 1, origin: str = ORIGIN) -> None:
        with ThreadPoolExecutor(at_once) as visitors:
            list(visitors.map(lambda _: self.service.get(path, origin=origin), range(count)))

    def firing(self) -> set[str]:
        """Alerts whose expression has a result, without their prefix, however long they last."""
        return {
            rule["alert"].removeprefix("SentifydEdge")
            for rule in ALERTS
            if self.prometheus.query(rule["expr"])
        }

    def fire(self, *alerts: str) -> bool:
        """Whether all these alerts fire."""
        return self.firing() >= set(alerts)


@pytest.fixture(scope="module")
def watched(
    serve: Serve, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("monitoring")
    ports = [free_port(), free_port()]
    avatars_file = write_avatars(
        folder,
        avatar("pool", KEY, policy="pool")
        + avatar("shared", KEY, policy="shared")
        + avatar("busy", KEY)
        + avatar("frugal", KEY, login_budget="2/day"),
    )
    targets = [f"127.0.0.1:{port}" for port in ports]
    with (
        RedisServer() as redis,
        Prometheus(folder, FOLDER / "prometheus.yaml", targets) as prometheus,
    ):
        service = serve(
            ALLOWED_ORIGINS=ORIGIN,
            AVATARS_FILE=str(avatars_file),
            TOKEN_POOL_SIZE="2",
            RATE_LIMIT="10000/day",
            SEAL_KEYS=new_key(),
            REDIS_URL=redis.url,
            METRICS_PORT=str(ports[0]),
        )
        second = serve(
            ALLOWED_ORIGINS=ORIGIN,
            VISITOR_AUTH="jwt",
            JWT_JWKS_URL="http://127.0.0.1:1/keys",
            JWT_ISSUER="https://login.example.com/",
            JWT_AUDIENCE="avatar",
            METRICS_PORT=str(ports[1]),
        )
        yield Watched(prometheus, service, second, redis, sandbox, avatars_file)


def test_alloy_uses_fields_of_the_log_and_few_labels(watched: Watched) -> None:
    watched.service.get(X_Request_ID="r-1")
    line = json.loads(watched.service.command.wait_for("r-1").string)
    config = (FOLDER / "config.alloy").read_text(encoding="utf-8")

    def names(block: str) -> set[str]:
        [values] = re.findall(rf"{block} {{\s+\w+ = {{(.*)}}", config)
        return set(re.findall(r'(\w+) = ""', values))

    assert names("stage.json") <= line.keys()
    assert names("stage.labels") == {"level", "event"}
    assert names("stage.structured_metadata") == {"request_id"}
    [source] = re.findall(r'source = "(\w+)"', config)
    assert source in names("stage.json")
    # RFC3339Nano.
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line[source])
    # By default, systemd uses the name of the program.
    unit = (FOLDER.parent / "nginx/sentifyd-edge@.service").read_text(encoding="utf-8")
    [program] = re.findall(r"^ExecStart=\S+/(\S+)", unit, re.MULTILINE)
    assert f'"SYSLOG_IDENTIFIER={program}"' in config


def is_data(result: list[dict[str, Any]]) -> bool:
    return any(math.isfinite(float(sample["value"][1])) for sample in result)


@pytest.mark.stress
def test_every_query_finds_data_and_alerts_fire_only_for_a_reason(watched: Watched) -> None:
    prometheus, sandbox = watched.prometheus, watched.sandbox
    panels = queries(json.loads(DASHBOARD.read_text(encoding="utf-8")), "30s")
    assert len(panels) > 30
    waiting = {query.expression: query.panel for query in panels}
    waiting |= dict.fromkeys(RECORDS, "a recording rule")

    def all_have_data() -> bool:
        for path in ("", "/pool", "/shared"):
            watched.ask(path, count=10, at_once=5)
        for expression in list(waiting):
            if is_data(prometheus.query(expression)):
                del waiting[expression]
        return not waiting

    try:
        until(all_have_data, PATIENCE)
    except AssertionError:
        pytest.fail(f"no data for {waiting}")
    # A scrape that takes too long on a busy machine makes an instance look down for a moment.
    until(lambda: watched.firing() == {"KeySetStale"}, PATIENCE)
    labels = prometheus.query("sentifyd_edge_build_info")
    assert {sample["metric"]["job"] for sample in labels} == {"sentifyd-edge"}

    # What each alert is for happens; the number of visitors decides about the share of the refused.
    def some_fail() -> bool:
        sandbox.fault = Fault("status", status=401)
        watched.ask()
        sandbox.fault = Fault("status", status=429, retry_after=60)
        watched.ask("/busy")
        sandbox.fault = Fault("delay", seconds=1.1)
        watched.ask(count=12, at_once=12)
        watched.ask("/shared", count=100, at_once=5, origin="https://other.example.com")
        return watched.fire(
            *("LoginRefused", "UpstreamPaused", "Latency"),
            *("RedisFallback", "ReloadFailed", "MostRefused"),
        )

    watched.ask("/frugal", count=3)
    until(lambda: watched.fire("BudgetLow"), PATIENCE)
    watched.redis.stop()
    watched.avatars_file.write_text("no TOML")
    watched.service.command.send(signal.SIGHUP)
    until(some_fail, PATIENCE)

    def all_fail() -> bool:
        watched.ask(count=10, at_once=5)
        watched.ask("/pool")
        return watched.fire("CircuitOpen", "PoolEmpty", "Availability")

    sandbox.fault = Fault("status", status=503)
    until(all_fail, PATIENCE)
    assert watched.service.get().status_code == 503

    watched.second.command.stop()
    until(lambda: watched.fire("InstanceDown") and not watched.fire("Down"))
    watched.service.command.stop()
    until(lambda: watched.fire("Down"))
    assert [rule for rule in prometheus.rules() if rule["health"] != "ok"] == []
