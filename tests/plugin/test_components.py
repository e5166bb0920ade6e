"""Test that only `components.py` contains facts about the components."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from mkdocs_sentifyd import api_keys
from mkdocs_sentifyd.components import (
    ADDRESSES,
    ATTRIBUTES,
    COLOURS,
    COMPONENTS,
    DISPLAYS,
    STORAGE_PREFIXES,
)

ELEMENTS = {component.element for component in COMPONENTS.values()}
HOSTS = {
    str(urlsplit(url).hostname)
    for component in COMPONENTS.values()
    for url in (component.loader, *component.other_loaders)
}
# Other names are ordinary words or options.
SPELLINGS = {name for name in (*ATTRIBUTES.values(), *COLOURS.values()) if "-" in name}
SPELLINGS |= {*STORAGE_PREFIXES, *(component.opening.toggle for component in COMPONENTS.values())}
ELEMENT = re.compile(r"(?<![\w-])sentifyd-[a-z]+(?![\w-])")
# Modules on the same layer as `components.py` do not import it.
COPIES = {"api_keys.py": set(ADDRESSES)}


def test_facts_to_search_for_exist() -> None:
    assert {"sentifyd-bot", "sentifyd-realtime"} <= ELEMENTS
    assert "frontend.sentifyd.io" in HOSTS
    assert {"avatar-id", "brand-logo", "--primary-color"} <= SPELLINGS
    assert "toggler" in DISPLAYS


def test_runtime_names_all_elements_or_none(root: Path) -> None:
    named = {
        file.name: set(ELEMENT.findall(file.read_text()))
        for file in (root / "mkdocs_sentifyd/runtime").iterdir()
    }

    assert named["print.css"] == ELEMENTS
    # A rule for only one of the elements would be a mistake.
    assert {file: names for file, names in named.items() if names not in (set(), ELEMENTS)} == {}


def test_no_other_module_repeats_a_fact(root: Path) -> None:
    package = root / "mkdocs_sentifyd"
    found = {
        file.relative_to(package).as_posix(): set(_facts(file))
        for file in package.rglob("*.py")
        if file != package / "components.py"
    }

    assert len(found) > 30
    assert {file: facts for file, facts in found.items() if facts} == COPIES
    assert set(ADDRESSES) <= api_keys._ADDRESSES


def _facts(file: Path) -> Iterator[str]:
    """Names of components in the strings of a module, except docstrings."""
    tree = ast.parse(file.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield from ELEMENT.findall(text)
                yield from (host for host in HOSTS if host in text)
                yield from SPELLINGS & {text}
