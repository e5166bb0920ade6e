"""Test `mkdocs-sentifyd inject` on sites of generators without MkDocs plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.environments import Environment
from tests.matrix.sites import INLINE, OFF, Site


def _contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _mentions(folder: Path) -> set[str]:
    return {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*.html")
        if "sentifyd" in file.read_text(encoding="utf-8")
    }


@pytest.mark.parametrize("directory_urls", [True, False])
def test_inject_adds_avatars_to_a_zensical_site(
    zensical: Environment, tmp_path: Path, directory_urls: bool
) -> None:
    site = Site(zensical, tmp_path)
    site.write(
        {
            "docs/index.md": "# Home\n\nIt stands before `</body>`.\n",
            "docs/own.md": f"# Own\n\n{INLINE}",
            "docs/guide/index.md": "# Guide\n",
            "docs/guide/off.md": f"{OFF}# Off\n",
            "docs/private/page.md": "# Private\n",
            "docs/quiet/.meta.yml": "sentifyd: false\n",
            "docs/quiet/page.md": "# Quiet\n",
            "docs/reference/README.md": "# Reference\n",
        }
    )
    plugins = ["search", "meta"]
    site.configure(plugins, {"exclude": ["private/"]}, use_directory_urls=directory_urls)

    site.run("zensical", "build", "--strict", "--config-file=mkdocs.yml")

    # Zensical silently ignores plugins that it does not know.
    own = "own/index.html" if directory_urls else "own.html"
    assert _mentions(site.output) == {own}
    assert "<sentifyd-bot></sentifyd-bot>" in site.page(own).html

    site.inject()

    assert site.pages_with_avatar() == {
        *("index.html", own, "guide/index.html", "reference/index.html", "404.html")
    }
    once = _contents(site.output)
    site.inject()
    assert _contents(site.output) == once


SPHINX_CONFIG = """\
site_name: Test
docs_dir: source
plugins:
  - sentifyd:
      avatar_id: avtr_1234abcd
      token_endpoint: https://tokens.example.com/request_tokens
      exclude: [private/, /guide/off.rst]
"""


@pytest.mark.parametrize(("theme", "builder"), [("alabaster", "html"), ("furo", "dirhtml")])
def test_inject_adds_avatars_to_a_sphinx_site(
    sphinx: Environment, tmp_path: Path, theme: str, builder: str
) -> None:
    site = Site(sphinx, tmp_path)
    contents = ".. toctree::\n\n   guide/page\n   guide/off\n   private/page\n   own\n"
    sample = ".. code-block:: html\n\n   <sentifyd-bot></sentifyd-bot></body>\n"
    site.write(
        {
            "mkdocs.yml": SPHINX_CONFIG,
            "source/conf.py": f"project = 'Test'\nhtml_theme = '{theme}'\n",
            "source/index.rst": f"Home\n====\n\n.. index:: word\n\n{contents}",
            "source/guide/page.rst": f"Page\n====\n\n{sample}",
            "source/guide/off.rst": "Off\n===\n",
            "source/private/page.rst": "Private\n=======\n",
            "source/own.rst": "Own\n===\n\n.. raw:: html\n\n   <sentifyd-bot></sentifyd-bot>\n",
        }
    )

    site.run("sphinx-build", "-q", "-W", "-b", builder, "source", "site")
    site.inject()

    names = ["guide/page", "own", "genindex", "search"]
    end = ".html" if builder == "html" else "/index.html"
    assert site.pages_with_avatar() == {"index.html", *(f"{name}{end}" for name in names)}
    (element,) = site.page(f"own{end}").elements()
    assert "section" in [parent.name for parent in element.parents]
    once = _contents(site.output)
    site.inject()
    assert _contents(site.output) == once
