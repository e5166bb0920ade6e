"""A pattern that matches no page comes with what was probably meant."""

from __future__ import annotations

import pytest

from mkdocs_sentifyd.options.suggestions import suggested_pattern
from tests.support.sites import BuildSite

PATHS = [
    *("index.md", "about.md", "guide/README.md", "guide/deep/er/page.md", "API/Reference.md"),
    *("blog/index.md", "docs-of-docs.md", "404.html"),
]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        # An address in place of a source path.
        ("about/", "about.md"),
        ("/about/", "/about.md"),
        ("about/index.html", "about.md"),
        ("about.html", "about.md"),
        ("guide/deep/er/page/", "guide/deep/er/page.md"),
        ("https://docs.example.com/project/about/", "/about.md"),
        ("https://docs.example.com/guide/deep/er/page/#part", "/guide/deep/er/page.md"),
        ("!about/", "!about.md"),
        # The folder of the sources.
        ("docs/about.md", "about.md"),
        ("docs/guide/", "guide/"),
        ("/docs/about/", "about.md"),
        ("./about.md", "about.md"),
        ("guide\\deep\\", "guide/deep/"),
        # Files of a folder, in place of those at any depth.
        ("guide/deep/*.md", "guide/deep/**/*.md"),
        ("api/", "API/"),
        ("ABOUT.md", "about.md"),
        ("api/reference.md", "API/Reference.md"),
    ],
)
def test_pattern_without_a_match_is_corrected(line: str, meant: str) -> None:
    assert suggested_pattern(line, PATHS, "docs") == meant


@pytest.mark.parametrize(
    "line",
    [
        *(
            "nowhere.md",
            "nowhere/",
            "docs/nowhere.md",
            "*.rst",
            "https://docs.example.com/",
            "docs/",
        ),
        *("[", "!nowhere", "source/about.md", "***", "/", "a b"),
    ],
)
def test_nothing_is_suggested_without_a_similar_page(line: str) -> None:
    assert suggested_pattern(line, PATHS, "docs") is None


def test_folder_of_the_sources_has_the_configured_name() -> None:
    assert suggested_pattern("source/about.md", PATHS, "source") == "about.md"
    assert suggested_pattern("docs/about.md", PATHS, "source") is None


def test_build_suggests_what_was_meant(build: BuildSite) -> None:
    pages = {"index.md": "# Home\n", "guide/a.md": "# A\n"}
    built = build(
        pages,
        {
            "include": ["docs/guide/", "/index.md"],
            "exclude": ["guide/a/"],
            "overrides": [{"match": "no.md", "captions": True}],
        },
    )

    assert built.status == 1
    for line in (
        "include: 'docs/guide/' matches no page: did you mean 'guide/'?\n",
        "exclude: 'guide/a/' matches no page: did you mean 'guide/a.md'?\n",
        "overrides, entry 1: 'no.md' matches no page\n",
    ):
        assert f"WARNING -  sentifyd: {line}" in built.output
