"""A consent that visitors cannot give is reported."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.sites import BuildSite

PAGES = {"index.md": "# Home\n"}
WARNING = (
    "WARNING -  sentifyd: consent: visitors cannot agree to 'helper', so the avatar never loads: "
    "set load: interaction to ask at the launcher, add Material's form (extra.consent), or write a "
    "script that dispatches sentifyd:consent with {helper: true}"
)
SCRIPT = 'document.dispatchEvent(new CustomEvent("sentifyd:consent", { detail: {} }));\n'
FORM = {"consent": {"title": "Cookies", "description": "We ask.", "actions": ["accept"]}}


@pytest.mark.parametrize(
    ("pages", "config"),
    [
        ({}, {}),
        ({}, {"extra": FORM}),
        ({"own.js": "console.log(1);\n"}, {"extra_javascript": ["own.js"]}),
    ],
    ids=["nothing", "a form that the theme does not show", "another script"],
)
def test_consent_that_nobody_can_give_fails_a_strict_build(
    build: BuildSite, pages: dict[str, str], config: dict[str, Any]
) -> None:
    built = build({**PAGES, **pages}, {"consent": "helper"}, **config)

    assert built.status == 1
    assert built.output.count("WARNING") == 1
    assert WARNING in built.output


@pytest.mark.parametrize(
    ("options", "pages", "config"),
    [
        ({"load": "interaction"}, {}, {}),
        ({}, {}, {"extra": FORM, "theme": {"name": "material", "font": False}}),
        ({}, {"own.js": SCRIPT}, {"extra_javascript": ["own.js"]}),
        ({}, {"own.mjs": SCRIPT}, {"extra_javascript": [{"path": "own.mjs", "type": "module"}]}),
        ({}, {"agree.md": f"# Agree\n\n<script>{SCRIPT}</script>\n"}, {}),
        ({}, {"../custom/main.html": f'{{% extends "base.html" %}}<!-- {SCRIPT} -->'},
         {"theme": {"name": "mkdocs", "custom_dir": "custom"}}),
        ({}, {}, {"extra_javascript": ["https://consent.example.com/manager.js"]}),
        ({}, {"../hook.py": f"SCRIPT = '{SCRIPT.strip()}'\n"}, {"hooks": ["hook.py"]}),
    ],
    ids=["launcher", "form", "script", "module", "page", "theme", "manager", "hook"],
)  # fmt: skip
def test_consent_that_visitors_can_give_is_not_reported(
    build: BuildSite, options: dict[str, Any], pages: dict[str, str], config: dict[str, Any]
) -> None:
    built = build({**PAGES, **pages}, {"consent": "helper", **options}, **config)

    assert built.status == 0, built.output
