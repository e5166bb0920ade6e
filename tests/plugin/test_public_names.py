"""Test the import paths that other files and users' code rely on."""

from __future__ import annotations

import tomllib
from pathlib import Path
from pkgutil import resolve_name

import pytest

# Used by the entry points, and by programs that document or complete the command line.
PUBLIC = (
    "mkdocs_sentifyd.plugin:SentifydPlugin",
    "mkdocs_sentifyd.cli:main",
    "mkdocs_sentifyd.cli:parser",
)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_importable(name: str) -> None:
    assert callable(resolve_name(name))


def test_every_entry_point_is_a_public_name(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    values = [*project["scripts"].values(), *project["entry-points"]["mkdocs.plugins"].values()]
    ours = {value for value in values if value.startswith("mkdocs_sentifyd")}

    assert len(ours) == 2
    assert ours <= set(PUBLIC)
