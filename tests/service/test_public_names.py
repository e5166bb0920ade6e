"""Import paths that the documentation and the recipes use do not change."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

# A documented import path must not change: add to this list, but remove nothing.
NAMES = [
    ("edge_service.admission.identity", "Authenticator"),
    ("edge_service.admission.identity", "user_name"),
    ("edge_service.app", "create_app"),
    ("edge_service.cli", "main"),
    ("edge_service.cli", "parser"),
    ("edge_service.errors", "Unauthenticated"),
    ("edge_service.http_protocol", "BoundedProtocol"),
    ("edge_service.identity", "ForwardedRules"),
    ("edge_service.identity", "JwtRules"),
    ("edge_service.settings", "AvatarSettings"),
    ("edge_service.settings", "Settings"),
    ("edge_service.settings", "SettingsError"),
    ("edge_service.telemetry", "configure_logging"),
]
_IMPORT = re.compile(r"^\s*from (edge_service[\w.]*) import ([\w, ]+)$", re.MULTILINE)
_PATH = re.compile(r"\b(edge_service[\w.]*):(\w+)")


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_documented_name_can_be_imported(module: str, name: str) -> None:
    assert callable(getattr(importlib.import_module(module), name))


def test_every_import_of_docs_and_recipes_is_listed(root: Path) -> None:
    known = {*NAMES, ("edge_service.app", "app")}
    # `app` reads the environment when it is imported, so other tests cover it.
    files = [*(root / "deploy").rglob("*.*"), *(root / "example_docs" / "docs").rglob("*.md")]
    found = set()
    for file in [*files, root / "README.md", root / "pyproject.toml"]:
        if file.suffix in (".md", ".py", ".toml", ".yaml", ".yml", ".service", ".conf"):
            text = file.read_text(encoding="utf-8")
            found |= set(_PATH.findall(text))
            for module, names in _IMPORT.findall(text):
                found |= {(module, name.strip()) for name in names.split(",")}

    assert len(found) > 8
    assert found <= known
