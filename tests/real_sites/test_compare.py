"""Test that the comparison of two builds notices what a plugin could break."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real_sites.compare import differences
from tests.real_sites.sites import add_plugin, theme_of
from tests.support.sites import LOADER

LOADER_TAG = f'<script src="{LOADER}" defer></script>\n'
SHEET = '<link rel="stylesheet" href="../assets/sentifyd/0123456789ab/print.css" media="print">\n'
ELEMENT = '<sentifyd-bot token_endpoint="https://tokens.example.com/"></sentifyd-bot>\n'
PLAIN = "<html><head><title>Page</title></head><body>Text.</body></html>"
WITH = PLAIN.replace("</head>", f"{LOADER_TAG}{SHEET}</head>").replace(
    "</body>", f"{ELEMENT}</body>"
)


def compare(folder: Path, before: dict[str, str], after: dict[str, str]) -> list[str]:
    for name, files in (("before", before), ("after", after)):
        for path, text in files.items():
            file = folder / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return list(differences(folder / "before", folder / "after"))


def test_complete_avatar_is_no_difference(tmp_path: Path) -> None:
    files = {"guide/index.html": WITH, "assets/sentifyd/pages.json": "{}"}

    assert compare(tmp_path, {"guide/index.html": PLAIN}, files) == []


@pytest.mark.parametrize(
    "page",
    [
        WITH.replace("Text.", "Text. "),
        WITH.replace(LOADER_TAG, ""),
        WITH.replace(LOADER_TAG, LOADER_TAG * 2),
        WITH.replace(SHEET, ""),
        WITH.replace(ELEMENT, ""),
        WITH.replace(ELEMENT, ELEMENT * 2),
        WITH.replace("<title>", f"{LOADER_TAG}<title>"),
        PLAIN.replace("Text.", "Sentifyd"),
    ],
)
def test_any_other_change_is_a_difference(tmp_path: Path, page: str) -> None:
    (line,) = compare(tmp_path, {"page.html": PLAIN}, {"page.html": page})

    assert line.startswith("page.html: ")


def test_added_missing_and_changed_files_are_differences(tmp_path: Path) -> None:
    before = {"search.json": "[]", "gone.html": PLAIN}

    assert compare(tmp_path, before, {"search.json": "{}", "more.html": WITH}) == [
        "gone.html: is missing",
        "more.html: was added",
        "search.json: differs",
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("theme: readthedocs\nplugins:\n- search\n", "plugins:\n- sentifyd: {a: b}\n- search\n"),
        ("plugins:\n  # Ours\n  search: {}\n", "  # Ours\n  sentifyd: {a: b}\n  search: {}\n"),
        ("site_name: Test\n", "plugins:\n  - search\n  - sentifyd: {a: b}\n"),
    ],
)
def test_plugin_is_added_to_a_configuration(
    tmp_path: Path, text: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.real_sites.sites.OPTIONS", {})
    file = tmp_path / "mkdocs.yml"
    file.write_text(text, encoding="utf-8")

    add_plugin(file, {"a": "b"})

    assert file.read_text(encoding="utf-8").endswith(wanted)
    assert theme_of(file) == ("readthedocs" if "readthedocs" in text else "mkdocs")
