"""README and documentation name every option, variable, route and code that there is."""

from __future__ import annotations

import re
from collections import UserDict
from pathlib import Path
from typing import get_args

import pytest
from mkdocs.config.base import Config

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
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_code_is_documented(root: Path) -> None:
    text = (root / "example_docs/docs/reference/answers.md").read_text()
    assert len(codes()) > 10
    assert [code for code in codes() if f"`{code}`" not in text] == []


def test_every_finding_is_documented(root: Path) -> None:
    text = (root / "example_docs/docs/reference/commands.md").read_text()
    package = root / "mkdocs_sentifyd"
    sources = [(package / f"check{part}.py").read_text() for part in ("", "_page", "_endpoint")]
    found = {
        code.replace("{kind}", "endpoint")
        for code in re.findall(r'inding\(\s*f?"((?:\{kind\}|[a-z])[a-z-]+)"', "".join(sources))
    }
    found |= {
        f"{name}-{what}" for name in ("loader", "element") for what in ("missing", "repeated")
    }
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


def test_links_within_the_readme(root: Path) -> None:
    text = (root / "README.md").read_text()
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", text) if not t.startswith("http")]
    assert targets
    assert [target for target in targets if not (root / target).exists()] == []
