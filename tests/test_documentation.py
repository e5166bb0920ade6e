"""README and documentation name every option, variable, route and code that there is."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from base64 import b64encode
from collections import UserDict
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from mkdocs.config.base import Config
from mkdocs.utils.yaml import get_yaml_loader, yaml_load

from edge_service.answers import ServiceError
from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.sandbox.faults import FaultKind
from edge_service.settings import Settings
from mkdocs_sentifyd.config import AppearanceConfig, BrandConfig, LoaderConfig, SentifydConfig
from tests.support.settings import settings_for


class Recorder(UserDict[str, str]):
    """An environment that remembers what was asked of it."""

    def __init__(self) -> None:
        super().__init__(AVATAR_API_KEY="canary-1", ALLOWED_ORIGINS="https://a.example")
        self.asked: set[str] = set()

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        self.asked.add(key)
        return super().get(key, default)


def variables() -> set[str]:
    environ = Recorder()
    Settings.from_env(environ)
    return environ.asked


def options(config: type[Config]) -> set[str]:
    return set(dict(config._schema))


def codes() -> set[str]:
    found, kinds = set(), [ServiceError]
    while kinds:
        kind = kinds.pop()
        found.add(kind.code)
        kinds += kind.__subclasses__()
    return found


@pytest.mark.parametrize("page", ["README.md", "example_docs/docs/reference/variables.md"])
def test_every_variable_is_documented(root: Path, page: str) -> None:
    text = (root / page).read_text()
    assert len(variables()) > 14
    assert [name for name in variables() if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", ["README.md", "example_docs/docs/reference/options.md"])
def test_every_option_is_documented(root: Path, page: str) -> None:
    text = (root / page).read_text()
    groups = {"loader": LoaderConfig, "brand": BrandConfig, "appearance": AppearanceConfig}
    names = options(SentifydConfig) - groups.keys()
    for group, config in groups.items():
        names |= {f"{group}.{name}" for name in options(config)}
    assert len(names) > 30
    told = " ".join(re.findall(r"^\|([^|]+)\|", text, re.MULTILINE))
    assert [name for name in names if f"`{name}`" not in told] == []


def test_every_code_is_documented(root: Path) -> None:
    text = (root / "example_docs/docs/reference/answers.md").read_text()
    assert len(codes()) > 10
    assert [code for code in codes() if f"`{code}`" not in text] == []


def test_every_finding_is_documented(root: Path) -> None:
    text = (root / "example_docs/docs/reference/commands.md").read_text()
    package = root / "mkdocs_sentifyd"
    sources = [
        (package / f"check{part}.py").read_text() for part in ("", "_page", "_runtime", "_endpoint")
    ]
    found = {
        code.replace("{kind}", "endpoint")
        for code in re.findall(r'inding\(\s*f?"((?:\{kind\}|[a-z])[a-z-]+)"', "".join(sources))
    }
    tags = ("loader", "element", "runtime", "settings")
    found |= {f"{name}-{what}" for name in tags for what in ("missing", "repeated")}
    assert len(found) > 20
    assert [code for code in found if f"`{code}`" not in text] == []


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
    told = "".join(re.findall(r"\btell\(([^,)]+)", text))
    found = {f"sentifyd:{event}" for event in re.findall(r'"([a-z-]+)"', told)}
    assert found >= {"sentifyd:shown", "sentifyd:hidden", "sentifyd:error", "sentifyd:loaded"}
    found |= set(re.findall(r'"(sentifyd:[a-z-]+)"', text))
    found |= {
        "data-" + re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", name)
        for name in re.findall(r"\bdataset\.(\w+)", text)
    }
    found |= set(re.findall(r"\[(data-[a-z-]+)\]", text))
    reasons = set(re.findall(r'\bfail\("(\w+)"', text))
    assert reasons == {"loader", "endpoint", "runtime"}
    api = sources["core.js"].partition("window.sentifydDocs = {")[2].partition("\n});")[0]
    calls = {f"{name}()" for name in re.findall(r"^  (\w+)(?:\(|: \(\))", api, re.MULTILINE)}
    assert calls >= {"open()", "close()", "toggle()", "destroy()"}
    return found | reasons | calls | sources.keys() | {"push(name)"}


def test_the_browser_runtime_is_documented(root: Path) -> None:
    text = (root / "example_docs/docs/reference/runtime.md").read_text()
    code = " ".join(re.findall(r"`([^`\n]+)`", text))
    names = runtime_names(root)
    assert len(names) > 25
    missing = [n for n in names if not re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", code)]
    assert missing == []


def test_calls_of_the_page_s_actions_are_documented(root: Path) -> None:
    source = (root / "mkdocs_sentifyd/runtime/actions.js").read_text()
    actions = re.findall(r'\baction\(\s*"docs\.(\w+)"', source)
    text = (root / "example_docs/docs/guide/actions.md").read_text()
    assert len(actions) == 4
    assert [name for name in actions if f"`docs.{name}`" not in text] == []


def examples(root: Path, language: str) -> Iterator[tuple[str, str]]:
    """Code blocks of README and documentation, with the name of their file."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for file in (root / "README.md", *(root / "example_docs/docs").rglob("*.md")):
        for block in fence.findall(file.read_text()):
            yield file.name, block


def test_every_example_of_the_options_is_valid(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SENTIFYD_TOKEN_ENDPOINT", "SENTIFYD_LOADER_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:8080/request_tokens")
    count = 0
    for name, block in examples(root, "yaml"):
        if "plugins:" not in block:
            continue
        plugins = yaml_load(block, get_yaml_loader())["plugins"]
        for options in (p["sentifyd"] for p in plugins if isinstance(p, dict) and "sentifyd" in p):
            config = SentifydConfig()
            required = {"avatar_id": "avtr_1", "token_endpoint": "https://tokens.example.com/"}
            config.load_dict({**required, **options})
            assert (name, *config.validate()) == (name, [], [])
            count += 1
    assert count > 10


def test_the_program_for_a_content_security_policy(root: Path, tmp_path: Path) -> None:
    [program] = [block for name, block in examples(root, "python") if name == "runtime.md"]
    script, data = "var a = '<b>' && 1;\n", json.dumps({"b": 1})
    (tmp_path / "index.html").write_text(
        f"<!doctype html><head><script>{script}</script><script src=a.js></script>"
        f'<script type="application/json">{data}</script></head><body></body>'
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )

    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert re.findall("'sha256-(.+?)'", done.stdout) == [digest]
    [written] = [
        block for _, block in examples(root, "text") if block.startswith("Content-Security-Policy:")
    ]
    hashes = re.compile("( 'sha256-[^']+')+")
    assert hashes.sub("", done.stdout) == hashes.sub("", written)


def test_pictures_are_small_and_shown(root: Path) -> None:
    pictures = list((root / "example_docs/docs/assets").glob("*.png"))
    pages = "".join(file.read_text() for file in (root / "example_docs/docs").rglob("*.md"))
    assert len(pictures) >= 4
    for picture in pictures:
        assert picture.stat().st_size < 120_000
        assert re.search(rf"!\[[^]]{{30,}}\]\([./]*assets/{picture.name}\)", pages)


def test_links_within_the_readme(root: Path) -> None:
    text = (root / "README.md").read_text()
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", text) if not t.startswith("http")]
    assert targets
    assert [target for target in targets if not (root / target).exists()] == []
