"""Draw the picture of the Grafana dashboard: its queries, answered by a real Prometheus.

Run it in the project's folder: `python -m scripts.dashboard`. Two token services in front of the
sandbox are under load for four minutes, and the sandbox fails in the second one. The picture is an
SVG for the light palette and one for the dark, and contains queries and numbers as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import requests
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.environment import ROOT
from edge_service.server.serving import bind
from scripts.plots import PALETTES, WIDTH, Palette

__all__ = ["DASHBOARD", "PICTURES", "Query", "draw", "drawn_queries", "queries"]

FOLDER = ROOT / "deploy" / "monitoring"
DASHBOARD = FOLDER / "dashboard.json"
PICTURES = {
    name: ROOT / "example_docs" / "docs" / "assets" / f"dashboard-{name}.svg" for name in PALETTES
}
# Drawn from top to bottom, with the label of the vertical axis.
PANELS = {
    "Requests by answer": "per second",
    "Duration of answers with tokens": "seconds",
    "Logins by outcome": "per second",
    "Burn rate: availability": "times the budget",
}
ORIGIN = "https://docs.example.com"
SECONDS, STEP, FAILS, VISITORS = 240, 3, (75, 120), 4

Points = Sequence[tuple[float, float]]
# By panel: the series by their names, each with seconds since the start and values.
Numbers = Mapping[str, Mapping[str, Points]]


class Query(NamedTuple):
    """A query of the dashboard.

    Attributes:
        panel: title of its panel.
        legend: Grafana's template for the names of its series.
        expression: PromQL, with values in place of the dashboard's variables.
    """

    panel: str
    legend: str
    expression: str

    def name(self, labels: Mapping[str, str]) -> str:
        """The name of a series with these labels."""
        return re.sub(r"{{(\w+)}}", lambda label: labels.get(label[1], ""), self.legend).strip()


def queries(dashboard: Mapping[str, Any], interval: str) -> list[Query]:
    """Every query of a dashboard.

    Args:
        dashboard: Grafana's JSON.
        interval: value of `$__rate_interval`, which Grafana computes from the time range.
    """
    values = {"$__rate_interval": interval, "$job": "sentifyd-edge", "$instance": ".*"}
    found = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in values.items():
                expression = expression.replace(variable, value)
            found.append(Query(panel["title"], target["legendFormat"], expression))
    return found


def drawn_queries() -> list[Query]:
    """The queries of the panels in the picture."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    # Grafana takes four times the scrape interval at least.
    found = queries(dashboard, f"{4 * STEP}s")
    return [query for title in PANELS for query in found if query.panel == title]


def draw(numbers: Numbers, palette: Palette, target: Path) -> None:
    """Write one SVG; the same numbers always give the same file."""
    with mpl.rc_context({"font.size": 10, "font.family": "DejaVu Sans", "svg.hashsalt": "plots"}):
        figure = Figure(figsize=(WIDTH, 2.3 * len(PANELS)), layout="constrained")
        for axes, (title, unit) in zip(figure.subplots(len(PANELS)), PANELS.items(), strict=True):
            _paint(axes, f"{title}, {unit}", numbers[title], palette)
        axes.set_xlabel("minutes", loc="right", color=palette.text)
        text = {"queries": [query.expression for query in drawn_queries()], "numbers": numbers}
        figure.savefig(
            target,
            format="svg",
            transparent=True,
            metadata={"Description": json.dumps(text), "Date": None},
        )


def _paint(axes: Axes, title: str, series: Mapping[str, Points], palette: Palette) -> None:
    styles = ("-", "--", ":", "-.")
    for number, (name, points) in enumerate(sorted(series.items())):
        seconds, values = zip(*points, strict=True)
        axes.plot(
            [second / 60 for second in seconds],
            values,
            color=palette.second if number % 2 else palette.first,
            linestyle=styles[number // 2 % len(styles)],
            # So that lines below others can be seen.
            linewidth=max(1.2, 3 - number),
            label=name,
        )
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=palette.text)
    axes.set_xlim(0, SECONDS / 60)
    axes.set_ylim(0)
    axes.tick_params(colors=palette.text)
    axes.grid(color=palette.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(palette.faint)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.2),
        ncols=2,
        frameon=False,
        fontsize=9,
        labelcolor=palette.text,
        handlelength=2.2,
        borderaxespad=0,
    )


def _record() -> Numbers:
    """Run everything, and return what Prometheus answers to the queries."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox, *others = (_free_port() for _ in range(6))
        services, metrics, prometheus = others[:2], others[2:4], others[4]
        base = f"http://127.0.0.1:{sandbox}"
        edge = [sys.executable, "-m", "edge_service.cli"]
        stack.enter_context(_running([*edge, "sandbox", "--port", str(sandbox)], f"{base}/sandbox"))
        for port, metrics_port in zip(services, metrics, strict=True):
            variables = {
                "AVATAR_API_KEY": "sandbox-only-key",
                "ALLOWED_ORIGINS": ORIGIN,
                "SENTIFYD_BACKEND": base,
                "METRICS_PORT": str(metrics_port),
                "PORT": str(port),
                "RATE_LIMIT": "600/minute",
            }
            url = f"http://127.0.0.1:{port}"
            stack.enter_context(_running([*edge, "serve"], f"{url}/livez", variables))
        address = f"127.0.0.1:{prometheus}"
        command = [
            "prometheus",
            f"--config.file={_configure(folder, metrics)}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ]
        stack.enter_context(_running(command, f"http://{address}/-/ready"))
        began = time.time()
        _load(base, services)
        ended = began + SECONDS
        found: dict[str, dict[str, Points]] = {title: {} for title in PANELS}
        for query in drawn_queries():
            answer = requests.get(
                f"http://{address}/api/v1/query_range",
                params={
                    "query": query.expression,
                    "start": f"{began}",
                    "end": f"{ended}",
                    "step": f"{STEP}",
                },
                timeout=30,
            ).json()
            for series in answer["data"]["result"]:
                points = [
                    (round(when - began), float(f"{float(value):.3g}"))
                    for when, value in series["values"]
                    if value != "NaN"
                ]
                found[query.panel][query.name(series["metric"])] = points
        return found


def _load(sandbox: str, ports: Sequence[int]) -> None:
    """Send requests for `SECONDS` seconds; Sentifyd fails in a part of them."""
    over = threading.Event()

    def visit(number: int) -> None:
        url = f"http://127.0.0.1:{ports[number % len(ports)]}/request_tokens"
        count = 0
        while not over.wait(0.2):
            count += 1
            # Some requests come from pages that may not use the avatar.
            origin = ORIGIN if count % 8 else "https://other.example.com"
            requests.get(url, headers={"Origin": origin}, timeout=30)

    def fault(**fields: object) -> None:
        requests.put(f"{sandbox}/sandbox", json=fields, timeout=30).raise_for_status()

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(VISITORS)]
    fault(kind="delay", seconds=0.2)
    for thread in threads:
        thread.start()
    try:
        time.sleep(FAILS[0])
        fault(kind="status", status=503)
        time.sleep(FAILS[1] - FAILS[0])
        fault(kind="delay", seconds=0.2)
        time.sleep(SECONDS - FAILS[1])
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _configure(folder: Path, ports: Sequence[int]) -> Path:
    """The committed configuration of Prometheus, with other targets and intervals."""
    content = yaml.safe_load((FOLDER / "prometheus.yaml").read_text(encoding="utf-8"))
    content["global"] = dict.fromkeys(content["global"], f"{STEP}s")
    content["rule_files"] = [str(FOLDER / name) for name in content["rule_files"]]
    targets = [f"127.0.0.1:{port}" for port in ports]
    content["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@contextmanager
def _running(
    command: Sequence[str], url: str, variables: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a program until the block ends, which begins when the URL answers."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env=variables, stdout=output, stderr=output)
        try:
            while not _answers(url):
                if process.poll() is not None:
                    output.seek(0)
                    raise SystemExit(f"{' '.join(command)}: {output.read()}")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def _free_port() -> int:
    with bind("127.0.0.1", 0, "the port") as sock:
        port: int = sock.getsockname()[1]
        return port


def main() -> None:
    """Draw the picture in every palette."""
    numbers = _record()
    for name, file in PICTURES.items():
        draw(numbers, PALETTES[name], file)


if __name__ == "__main__":
    main()
