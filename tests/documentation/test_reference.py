"""The documentation lists every option, variable, route, code and log event."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from mkdocs.config.base import BaseConfigOption, Config
from mkdocs.exceptions import PluginError

import mkdocs_sentifyd.cli
from edge_service.app import create_app
from edge_service.errors import ServiceError, UpstreamRejected
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.sandbox.demo import EXAMPLE, DemoError, run_demo
from edge_service.sandbox.faults import FaultKind
from edge_service.settings.variables import declared
from mkdocs_sentifyd.check.findings import KINDS
from mkdocs_sentifyd.components import COMPONENTS
from mkdocs_sentifyd.options.fields import Group
from mkdocs_sentifyd.options.schema import SentifydConfig
from tests.support.examples import ROOT, blocks, pages
from tests.support.settings import settings_for

Option = tuple[str, BaseConfigOption[Any]]


def hooks() -> ModuleType:
    """The documentation's hooks for MkDocs."""
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "example_docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers() -> list[type[ServiceError]]:
    """Every class of an error response."""
    found: list[type[ServiceError]] = [ServiceError]
    for kind in found:
        found += kind.__subclasses__()
    return found


def option_types(config: type[Config] = SentifydConfig, prefix: str = "") -> Iterator[Option]:
    """Every option that holds a value, by its whole name."""
    for name, option in config._schema:
        if isinstance(option, Group):
            yield from option_types(option.config_class, f"{prefix}{name}.")
        else:
            yield prefix + name, option


def page(documentation: Path, name: str) -> Tag:
    html = (documentation / name / "index.html").read_text()
    [article] = BeautifulSoup(html, "html.parser").select("article")
    return article


def entry(page: Tag, name: str) -> dict[str, str]:
    """The content of a reference page for one name: its facts, and the text below them."""
    heading = page.find(id=name)
    assert heading is not None, name
    assert heading.get_text().rstrip("¶") == name
    facts, text = heading.find_next_siblings(limit=2)
    found = {
        fact.dt.get_text(): fact.dd.get_text()
        for fact in facts.select("dl > div")
        if fact.dt and fact.dd
    }
    return {**found, "text": text.get_text()}


def test_readme_options_and_variables_exist(root: Path) -> None:
    """The README lists the ten that are used most; the reference lists all."""
    text = (root / "README.md").read_text()
    known = {
        "Option": {name for name, _ in option_types()},
        "Variable": {name for v in declared() for name in (v.name, v.file_name) if name},
    }
    for head, names in known.items():
        [table] = re.findall(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
        rows = [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in table.splitlines()]
        assert len(rows) == 10
        assert {name for row in rows for name in row} <= names


def test_reference_documents_every_variable(documentation: Path) -> None:
    shown = page(documentation, "reference/variables")
    for variable in declared():
        found = entry(shown, variable.name)
        assert found["Default"]
        assert len(found["text"]) > 3
        assert ("File" in found) == variable.secret
        assert "Default:" not in found["text"]
        if isinstance(variable.default, str | int) and not isinstance(variable.default, bool):
            assert found["Default"] == str(variable.default)
        elif variable.missing:
            assert found["Default"].startswith("required")
    assert entry(shown, "UPSTREAM_TIMEOUT")["Default"] == "5"
    assert entry(shown, "ALLOW_ANY_ORIGIN")["Default"] == "false"
    assert entry(shown, "OTEL_EXPORTER_OTLP_ENDPOINT")["Default"] == "no traces"


def test_reference_documents_every_option(documentation: Path) -> None:
    shown = page(documentation, "reference/options")
    names = [str(tag["id"]) for tag in shown.select("[id]")]
    assert len(names) == len(set(names))
    for name, option in option_types():
        found = entry(shown, name)
        choices = getattr(getattr(option, "option", option), "choices", None)
        assert found["Values"] == ", ".join(choices) if choices else found["Values"]
        assert len(found["text"]) > 3
        assert not re.search("Default:|Required", found["text"])
        if isinstance(option.default, str | bool):
            assert found["Default"] == str(option.default).lower()
    assert entry(shown, "avatar_id")["Default"] == "required"
    assert entry(shown, "captions")["Default"] == "the component's own"
    assert entry(shown, "brand.name")["Default"] == "none"


def test_reference_documents_every_command(documentation: Path) -> None:
    shown = page(documentation, "reference/commands")
    titles = {tag.get_text().rstrip("¶"): tag for tag in shown.select("h2")}
    commands = hooks().commands()
    assert titles.keys() == commands.keys()
    assert len(commands) >= 7
    for name, parser in commands.items():
        below = titles[name].find_all_next(["h2", "code"])
        end = next((n for n, tag in enumerate(below) if tag.name == "h2"), len(below))
        code = [tag.get_text() for tag in below[:end]]
        assert any(text.startswith(f"{name} [-h]") for text in code)
        assert any(name in text and "[-h]" not in text for text in code), "no example"
        options = {option for action in parser._actions for option in action.option_strings}
        assert options - {text.split(" ")[0] for text in code} <= {"-h", "--help"}, name
    assert "<!-- help" not in str(shown)


def test_help_is_the_same_in_every_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def help_texts(columns: str, **colour: str) -> list[str]:
        for name, value in {"COLUMNS": columns, **colour}.items():
            monkeypatch.setenv(name, value)
        return [hooks().command_help(name) for name in hooks().commands()]

    assert help_texts("30") == help_texts("200", FORCE_COLOR="1")


def test_unknown_command_in_a_page_raises_plugin_error() -> None:
    with pytest.raises(PluginError, match="no command 'sentifyd-edge canary'"):
        hooks().on_page_markdown("<!-- help: sentifyd-edge canary -->")


def test_changelog_page_lists_every_version(root: Path, documentation: Path) -> None:
    shown = page(documentation, "changelog")
    titles = [tag.get_text().rstrip("¶") for tag in shown.select("h1, h2")]
    versions = re.findall(r"^## \[(.+?)\]", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert titles[0] == "Changelog"
    assert [title.strip("[]").partition("]")[0] for title in titles[1:]] == versions


def test_demo_reports_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    lacking = lambda name: None if name == "mkdocstrings_handlers" else find(name)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", lacking)
    monkeypatch.setenv("SITE_PORT", "invalid, so that the demo cannot start")
    with pytest.raises(DemoError, match=r"run pip install 'mkdocstrings\[python\]'$"):
        run_demo(EXAMPLE, 30, print)


def cells(table: Tag) -> list[list[str]]:
    """The texts of a table's cells, without its head."""
    return [[cell.get_text() for cell in row.select("td")] for row in table.select("tbody tr")]


def test_table_lists_every_error_response(documentation: Path) -> None:
    [table] = page(documentation, "reference/errors").select(".answers table")
    found = cells(table)
    for kind in answers():
        [row] = [row for row in found if row[0] == kind.code and row[2] == kind.error]
        assert row[1] == ("400 to 599" if kind is UpstreamRejected else str(kind.status))
    # Classes share a code only if one is a more specific case of the other.
    shared = {row[0] for row in found if [other[0] for other in found].count(row[0]) > 1}
    assert shared == {"bad_request"}
    assert_fixes_are_plain(found)
    assert {tag["id"] for tag in table.select("[id]")} == {kind.code for kind in answers()}


def test_table_lists_every_finding(documentation: Path) -> None:
    [table] = page(documentation, "reference/errors").select(".findings table")
    found = cells(table)
    assert [row[:2] for row in found] == [
        [kind.code or key, kind.severity] for key, kind in KINDS.items()
    ]
    assert_fixes_are_plain(found)
    assert {tag["id"] for tag in table.select("[id]")} == {row[0] for row in found}


def assert_fixes_are_plain(found: list[list[str]]) -> None:
    """Each fix is one sentence in plain words."""
    for code, _, message, fix in found:
        assert message, code
        assert re.fullmatch(r"[A-Z](?:[^.!?]|[.!?](?!\s))+\.", fix), (code, fix)
        old = re.findall(
            r"(?i)\b(cures?|mends?|heed|tells?|told|whoever|shall)\b", f"{message} {fix}"
        )
        assert old == [], code


def test_every_log_event_is_documented(root: Path, documentation: Path) -> None:
    logged = re.compile(r"\.(?:debug|info|warning|error)\(\s*\"([a-z_]+)\"")
    sources = (root / "edge_service").rglob("*.py")
    events = {event for file in sources for event in logged.findall(file.read_text())}
    assert events >= {"listening", "redis_unavailable", "pool_not_filled", "settings_not_reloaded"}
    heading = page(documentation, "guide/monitoring").find(id="logs")
    assert heading is not None
    table = heading.find_next("table")
    assert table is not None
    shown = {code.get_text() for code in table.select("td:first-child code")}
    assert sorted(events - shown) == []


# Anchors of sections that moved, by their former page, and where each leads now.
MOVED = {
    "comparison": {"other-ways-to-embed-a-sentifyd-avatar": "../other-ways/"},
    "csp": {
        "a-header-for-a-built-site": "../csp-header/",
        "where-to-put-it": "../csp-header/#where-to-put-it",
    },
    "deploy/capacity": {
        "how-the-numbers-are-computed": "../capacity-model/",
        "an-example": "../capacity-model/#an-example",
        "assumptions": "../capacity-model/#assumptions",
        "what-it-does-not-cover": "../capacity-model/#what-it-does-not-cover",
    },
    "guide/operations": {
        "rate-limits": "../limits/#rate-limits",
        "behind-a-proxy": "../limits/#behind-a-proxy",
        "visitor-identity": "../identity/",
        "jwt": "../identity/#jwt",
        "forwarded": "../identity/#forwarded",
        "what-browsers-send": "../identity/#what-browsers-send",
        "several-avatars": "../avatars/",
        "changing-them-without-a-restart": "../avatars/#changing-them-without-a-restart",
        "sealed-refresh-tokens": "../sealing/",
        "changing-the-key": "../sealing/#changing-the-key",
        "redis": "../redis/",
        "metrics": "../monitoring/#metrics",
        "logs": "../monitoring/#logs",
        "traces": "../traces/",
        "health": "../monitoring/#health",
        "what-the-server-bounds": "../bounds/#connections",
    },
    "guide/monitoring": {"traces": "../traces/"},
    "guide/policies": {"when-sentifyd-fails": "../bounds/#when-sentifyd-fails"},
    "privacy": {
        "what-the-token-service-keeps": "../privacy-service/",
        "consent-with-material": "../guide/consent/#consent-with-material",
        "consent-with-other-tools": "../guide/consent/#consent-with-other-tools",
        "a-text-for-your-privacy-policy": "../privacy-policy/",
    },
    "reference/performance": {
        "the-plugin": "../performance-build/",
        "mkdocs-sentifyd-inject": "../performance-build/#mkdocs-sentifyd-inject",
        "the-token-service": "../performance-service/",
        "in-the-browser": "../performance-browser/",
    },
    "reference/runtime": {
        "windowsentifyddocs": "../runtime-api/#windowsentifyddocs",
        "events": "../runtime-api/#events",
        "hooks-for-style-sheets": "../runtime-api/#hooks-for-style-sheets",
    },
    "security": {
        "what-the-service-bounds": "../guide/bounds/#requests",
        "remaining-risks": "../risks/",
        "tests": "../risks/#tests",
    },
    "troubleshooting": {
        "errors-by-status": "../troubleshooting-service/",
        "401": "../troubleshooting-service/#401",
        "403": "../troubleshooting-service/#403",
        "429": "../troubleshooting-service/#429",
        "5xx": "../troubleshooting-service/#5xx",
        "the-service-does-not-start-or-is-not-ready": (
            "../troubleshooting-service/#the-service-does-not-start-or-is-not-ready"
        ),
    },
}


@pytest.mark.parametrize("former", MOVED)
def test_moved_sections_keep_their_anchors(former: str, documentation: Path) -> None:
    """A bookmark of guide/operations/#metrics still leads to the metrics."""
    shown = page(documentation, former)
    assert {str(a["id"]): str(a["href"]) for a in shown.select("a[id]")} == MOVED[former]


def test_every_route_and_fault_is_documented(root: Path) -> None:
    reference = root / "example_docs/docs/reference"
    settings = settings_for()
    for page, app in (
        ("answers.md", create_app(settings)),
        ("sandbox.md", create_sandbox(Sandbox("canary-1"))),
    ):
        text = (reference / page).read_text()
        routes = [str(getattr(route, "path", "")) for route in app.routes]
        assert [route for route in routes if not re.search(rf"[` ]{route}`", text)] == []
    text = (reference / "sandbox.md").read_text()
    assert [kind for kind in get_args(FaultKind) if f"`{kind}`" not in text] == []


def runtime_names(root: Path) -> set[str]:
    """What the browser runtime shows to a site: files, events, hooks, calls and reasons."""
    folder = root / "mkdocs_sentifyd" / "runtime"
    sources = {file.name: file.read_text() for file in folder.iterdir()}
    text = "\n".join(sources.values())
    dispatched = "".join(re.findall(r"\bdispatch\(([^,)]+)", text))
    found = {f"sentifyd:{event}" for event in re.findall(r'"([a-z-]+)"', dispatched)}
    assert found >= {"sentifyd:shown", "sentifyd:hidden", "sentifyd:error", "sentifyd:loaded"}
    found |= set(re.findall(r'"(sentifyd:[a-z-]+)"', text))
    found |= {
        "data-" + re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", name)
        for name in re.findall(r"\bdataset\.(\w+)", text)
    }
    found |= set(re.findall(r"\[(data-[a-z-]+)\]", text))
    reasons = set(re.findall(r'\bfail\("(\w+)"', text))
    assert reasons == {"loader", "endpoint", "runtime", "open"}
    api = sources["core.js"].partition("window.sentifydDocs = {")[2].partition("\n});")[0]
    calls = {f"{name}()" for name in re.findall(r"^  (\w+)(?:\(|: \(\))", api, re.MULTILINE)}
    assert calls >= {"open()", "close()", "toggle()", "destroy()"}
    return found | reasons | calls | sources.keys() | {"push(name)"}


def test_the_browser_runtime_is_documented(root: Path) -> None:
    reference = root / "example_docs/docs/reference"
    text = "".join((reference / name).read_text() for name in ("runtime.md", "runtime-api.md"))
    code = " ".join(re.findall(r"`([^`\n]+)`", text))
    names = runtime_names(root)
    assert len(names) > 25
    missing = [n for n in names if not re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", code)]
    assert missing == []


def test_table_of_engines_lists_what_is_tested(root: Path) -> None:
    module = ast.parse((root / "tests/runtime/test_promises.py").read_text())
    tests = [part for part in module.body if getattr(part, "name", "").startswith("test_")]
    promises = [ast.get_docstring(test) for test in tests if isinstance(test, ast.FunctionDef)]
    text = (root / "example_docs/docs/reference/browsers.md").read_text()
    table = text.partition("| The runtime's promises |")[2].partition("\n\n")[0]
    rows = [f"{line.split('|')[1].strip()}." for line in table.splitlines()[2:]]
    assert len(rows) == 16
    assert rows == promises


def test_page_actions_are_documented(root: Path) -> None:
    source = (root / "mkdocs_sentifyd/runtime/actions.js").read_text()
    actions = re.findall(r'\baction\(\s*"docs\.(\w+)"', source)
    text = (root / "example_docs/docs/guide/actions.md").read_text()
    assert len(actions) == 4
    assert [name for name in actions if f"`docs.{name}`" not in text] == []


def test_csp_prints_the_policies_of_the_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [block for block in blocks() if re.fullmatch(r".*/csp(-header)?\.md", block.page)]
    [configured] = [block.text for block in shown if block.language == "yaml"]
    (tmp_path / "mkdocs.yml").write_text(configured)
    (tmp_path / "docs").mkdir()

    def printed(server: str) -> str:
        file = str(tmp_path / "mkdocs.yml")
        assert mkdocs_sentifyd.cli.main(["csp", "--config-file", file, "--format", server]) == 0
        return capsys.readouterr().out

    hashes = re.compile("( 'sha256-[^']+')+")
    texts = [hashes.sub("", block.text) for block in shown if "connect-src" in block.text]
    assert texts == [printed("nginx"), printed("netlify"), printed("generic")]
    assert printed("cloudflare") == printed("netlify")


def test_hosts_of_each_component_are_in_the_tables(documentation: Path) -> None:
    for name, column in (("csp", "Source"), ("privacy", "Host")):
        tables = [
            table
            for table in page(documentation, name).select("table")
            if [head.get_text() for head in table.select("th")][:2] == ["Component", column]
        ]
        [found] = map(cells, tables)
        for component in COMPONENTS.values():
            loader = urlsplit(component.loader).netloc
            hosts = {loader: False, **{host.name: host.is_observed for host in component.hosts}}
            rows = [row for row in found if row[0] == f"<{component.element}>"]
            assert len(rows) == len(hosts)
            for row, (host, is_observed) in zip(rows, hosts.items(), strict=True):
                assert host in row[1]
                assert row[3] == ("observed" if is_observed else "only named")
    assert "fonts.googleapis.com (Google)" in {row[1] for row in found}


def test_pages_are_short(root: Path) -> None:
    """A page that needs more words answers more than one question."""
    folder = root / "example_docs/docs"
    words = {
        file.relative_to(folder).as_posix(): len(file.read_text().split())
        for file in folder.rglob("*.md")
    }
    assert len(words) > 60
    assert {page: count for page, count in words.items() if count > 1200} == {}


def test_files_named_in_pages_exist(root: Path) -> None:
    folders = "tests|deploy|scripts|benchmarks|example_docs|edge_service|mkdocs_sentifyd"
    named = {
        (file.name, path)
        for file in pages()
        for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", file.read_text())
    }
    assert len(named) > 20
    assert sorted((page, path) for page, path in named if not (root / path).exists()) == []


def test_pictures_are_small_and_used(root: Path) -> None:
    pictures = list((root / "example_docs/docs/assets").glob("*.png"))
    pages = "".join(file.read_text() for file in (root / "example_docs/docs").rglob("*.md"))
    assert len(pictures) >= 4
    for picture in pictures:
        assert picture.stat().st_size < 120_000
        assert re.search(rf"!\[[^]]{{30,}}\]\([./]*assets/{picture.name}\)", pages)


def test_stacked_tables_name_their_columns(documentation: Path) -> None:
    css = (ROOT / "example_docs" / "docs" / "assets" / "tables.css").read_text()
    texts = (page.read_text() for page in documentation.rglob("index.html"))
    tables = [
        table
        for text in texts
        if "stacked" in text
        for table in BeautifulSoup(text, "html.parser").select(".stacked")
    ]
    assert len(tables) == 10
    for table in tables:
        [name] = set(table.get_attribute_list("class")) - {"stacked"}
        labels = re.findall(rf'\.{name} td:nth-child\(\d\) {{\s*--column: "([^"]+)"', css)
        assert labels == [head.get_text() for head in table.select("th")][1:]
