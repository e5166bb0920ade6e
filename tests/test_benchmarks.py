"""The benchmarks' own tools measure correctly. These tests measure no time."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from benchmarks.crowd import crowd
from benchmarks.load import Load, here_table
from benchmarks.modes import MODES
from benchmarks.published import PAGES, read_tables
from benchmarks.visits import Traffic, visiting
from scripts.plots import FOLDER, PALETTES, PLOTS, Numbers, draw
from tests.support.browsing import chromium
from tests.support.servers import serving

ROOT = Path(__file__).resolve().parent.parent
DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"


def run(
    *arguments: str, path: str = "", browser: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={"PATH": path, **({"CHROMIUM": browser} if browser else {})},
        capture_output=True,
        text=True,
    )


def test_skipped_measure_reports_the_missing_tool() -> None:
    found = run("service", "--measures", "direct", "memory")

    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [
        "wrk is missing, so direct is skipped: apt-get install wrk",
        "wrk is missing, so memory is skipped: apt-get install wrk",
    ]


def test_browser_benchmark_without_a_browser_lists_only_files() -> None:
    found = run("browser")

    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert lines[0] == "Files of the runtime"
    assert lines[-1] == "chromium is missing, so visits are skipped: apt-get install chromium"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["service", "--measures", "nothing"],
        ["browser", "--visits", "nothing"],
    ],
)
def test_unknown_names_are_rejected(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2


def test_crowd_records_every_answer() -> None:
    numbers = itertools.count()

    async def answer(_: Request) -> Response:
        number = next(numbers)
        return JSONResponse({"number": number}, 200 if number % 5 else 503)

    with serving(Starlette(routes=[Route("/request_tokens", answer)])) as url:
        visits = crowd(urlsplit(url).port or 0, 40)

    assert sorted(visit.status for visit in visits) == [200] * 32 + [503] * 8
    assert len({visit.body for visit in visits}) == 40
    assert all(visit.seconds > 0 for visit in visits)


def test_crowd_records_incomplete_answers() -> None:
    async def close(_: Request) -> Response:
        return Response(b"{", headers={"Content-Length": "1000"})

    with serving(Starlette(routes=[Route("/request_tokens", close)])) as url:
        visits = crowd(urlsplit(url).port or 0, 3)

    assert [visit.status for visit in visits] == [0, 0, 0]


@pytest.mark.usefixtures("browser")
@pytest.mark.thorough
def test_requests_of_each_mode_are_counted() -> None:
    arguments = ("browser", "--quick", "--visits", "requests")
    found = run(*arguments, path=os.environ["PATH"], browser=chromium())

    assert found.returncode == 0, found.stderr
    table = found.stdout[found.stdout.index("Requests") :].splitlines()[2:]
    rows = [re.split(r"  +", line) for line in table if line]
    # Loader, tokens, WebSocket.
    third_party = {name: [re.sub(r" \(.*", "", cell) for cell in cells] for name, _, *cells in rows}
    asked = {
        "`load: eager`, static tags": ["3", "none", "none"],
        "`load: eager`, instant navigation": ["3", "none", "none"],
        "`load: idle`": ["3", "none", "none"],
        "`load: interaction`": ["none", "none", "3"],
        "`consent`, not given": ["none"],
        "`consent`, given": ["3", "none", "none"],
        "everything, instant navigation": ["none", "none", "3"],
    }
    assert third_party == asked
    own = {name: int(cell.split()[0]) for name, cell, *_ in rows}
    assert own["`load: eager`, static tags"] == 1
    assert min(own.values()) == 1
    assert max(own.values()) == own["everything, instant navigation"]


def test_visit_measures_traffic_paint_and_memory(browser: Browser) -> None:
    pages = {
        # Only desktop browsers ask for an icon that no page names.
        "/": """<link rel="icon" href="data:,"><body style="margin: 0"><p>Text</p><script>
            fetch("/data");
            const banner = document.createElement("div");
            banner.style.height = "200px";
            setTimeout(() => document.body.prepend(banner), 300);
            </script>""",
        "/data": "x" * 5000,
    }

    async def answer(request: Request) -> Response:
        return HTMLResponse(pages[request.url.path])

    app = Starlette(routes=[Route(path, answer) for path in pages])
    with serving(app) as url, visiting(browser, MODES[0].plain, f"{url}/") as visit:
        visit.begin()

        port = urlsplit(url).port or 0
        whole = sum(len(text) for text in pages.values())
        assert visit.traffic(port).requests == 2
        assert whole < visit.traffic(port).size < whole + 1500
        assert visit.traffic(port + 1) == Traffic(0)
        assert visit.asked_for(f"{url}/data") == 1
        assert visit.paint().largest > 0
        assert visit.paint().shift > 0
        assert visit.work() > 0
        before = visit.weight()
        visit.page.evaluate("kept = Array.from({ length: 50 }, () => document.createElement('p'))")
        visit.page.evaluate("kept.forEach((one) => one.addEventListener('click', () => {}))")
        after = visit.weight()
        assert (after.nodes - before.nodes, after.listeners - before.listeners) == (50, 50)


def test_table_of_this_machine_contains_the_measurements() -> None:
    quick = Load(answers=1000, errors=0, seconds=1, p50=0, p99=0, cpu=0.5, store_cpu=0.02)
    slow = Load(answers=400, errors=0, seconds=1, p50=0, p99=0, cpu=0.2)
    void = Load(answers=1, errors=1, seconds=1, p50=0, p99=0, cpu=9)

    rows = here_table([{"a": quick, "b": void}, {"a": quick, "b": slow}]).rows

    assert rows == [
        ["a", "1000", "1000 to 1000", "0.500", "0.020"],
        ["b", "400", "400 to 400", "0.500", ""],
    ]


def shown(file: Path) -> object:
    """The numbers in a plot's metadata."""
    text = ElementTree.parse(file).findtext(f".//{{{DUBLIN_CORE}}}description")
    assert text
    return json.loads(text)


def as_json(numbers: Numbers) -> object:
    return json.loads(json.dumps(numbers))


@pytest.mark.parametrize("name", PLOTS)
def test_plots_show_the_tables(name: str, tmp_path: Path) -> None:
    fix = "run python -m scripts.plots to draw them again"
    numbers = PLOTS[name].numbers(read_tables())
    for kind, palette in PALETTES.items():
        file = FOLDER / f"{name}-{kind}.svg"
        assert shown(file) == as_json(numbers), fix
        again = tmp_path / file.name
        draw(PLOTS[name], numbers, palette, again)
        # Another version may draw the same numbers differently.
        if f"Matplotlib v{mpl.__version__}," in file.read_text(encoding="utf-8"):
            assert drawn(again) == drawn(file), fix


def drawn(file: Path) -> str:
    """The drawing, with numbers rounded, because another processor may compute them differently."""
    return re.sub(
        r"-?\d+\.\d+",
        lambda number: f"{float(number[0]):z.0f}",
        file.read_text(encoding="utf-8").replace("\r", ""),
    )


@pytest.mark.parametrize(
    ("name", "figure"),
    [("build", "1.264"), ("peers", "0.979"), ("bytes", "5.5 KB"), ("paint", "1.454")],
)
def test_changed_table_no_longer_matches_its_plot(name: str, figure: str, tmp_path: Path) -> None:
    changed = tmp_path / "page.md"
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert text.count(f"{figure})") == 1
    changed.write_text(text.replace(f"{figure})", f"9{figure})"), encoding="utf-8")

    numbers = PLOTS[name].numbers(read_tables([changed]))

    assert as_json(numbers) != shown(FOLDER / f"{name}-light.svg")


def test_every_plot_is_on_a_page_in_both_palettes() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    files = {file.name for file in FOLDER.iterdir()}
    assert files == {f"{name}-{kind}.svg" for name in PLOTS for kind in PALETTES}
    for file in sorted(files):
        kind = file.removesuffix(".svg").rpartition("-")[2]
        assert re.search(rf"!\[[^]]{{30,}}\]\(\S+/{file}#only-{kind}\)", text)
