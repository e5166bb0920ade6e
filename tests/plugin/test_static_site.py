"""`mkdocs-sentifyd inject` on sites that the plugin did not build."""

from __future__ import annotations

from pathlib import Path

import pytest

from mkdocs_sentifyd.cli import main
from tests.plugin.conftest import BuildSite, Page

CONFIG = """\
site_name: Test
plugins:
  - a-plugin-that-is-not-installed
  - sentifyd:
      avatar_id: avtr_1234abcd
      token_endpoint: https://tokens.example.com/request_tokens
      exclude: [private/]
"""
PAGES = {
    "index.md": "# Home\n\n`</body>`\n",
    "own.md": "# Own\n\n<sentifyd-bot></sentifyd-bot>\n",
    "off.md": "---\nsentifyd: false\n---\n# Off\n",
    "private/index.md": "# Private\n",
    "private/page.md": "# Page\n",
    "guide/index.md": "---\nsentifyd: false\n---\n# Guide\n",
}


@pytest.mark.parametrize("directory_urls", [True, False])
def test_it_does_what_the_plugin_does(
    build: BuildSite, tmp_path: Path, capsys: pytest.CaptureFixture[str], directory_urls: bool
) -> None:
    arguments = {"theme": "material", "use_directory_urls": directory_urls}
    wanted = build(PAGES, {"exclude": ["private/"]}, **arguments)
    files = {path: path.read_text() for path in wanted.site.rglob("*.html")}
    site = build(PAGES, plugins=["search"], **arguments).site
    (tmp_path / "zensical.yml").write_text(CONFIG)
    command = ["inject", str(site), "--config-file", str(tmp_path / "zensical.yml")]

    assert main(command) == 0
    assert capsys.readouterr().out.startswith("3 of 7 pages changed")
    # MkDocs notes its build time on the home page only.
    for path, text in files.items():
        assert path.read_text().partition("Build Date")[0] == text.partition("Build Date")[0]

    before = {path: path.stat().st_mtime_ns for path in files}
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("0 of 7 pages changed")
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_pages_without_a_known_source_and_odd_bytes(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "private").mkdir(parents=True)
    (site / "page.html").write_bytes(b"<html><head></head><body>\xff\r\n</body></html>")
    (site / "private" / "page.html").write_text("<html><body></body></html>")
    (site / "404.html").write_text("<html><head></head><body></body></html>")
    (site / "page.html").chmod(0o640)
    (tmp_path / "mkdocs.yml").write_text(CONFIG + "      not_found_page: false\n")

    assert main(["inject", str(site), "--config-file", str(tmp_path / "mkdocs.yml")]) == 0

    page = (site / "page.html").read_bytes()
    assert b"\xff\r\n<sentifyd-bot" in page
    Page(page.decode("latin-1")).assert_avatar()
    assert (site / "page.html").stat().st_mode & 0o777 == 0o640
    assert b"sentifyd" not in (site / "private" / "page.html").read_bytes()
    assert b"sentifyd" not in (site / "404.html").read_bytes()
    assert sorted(path.name for path in site.iterdir()) == ["404.html", "page.html", "private"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "is not there: name it with --config-file"),
        ("site_name: T\n", "has no sentifyd section under plugins"),
        ("plugins: [search]\n", "has no sentifyd section under plugins"),
        ("plugins: [sentifyd]\n", "option 'avatar_id': missing"),
        ("plugins: {sentifyd: {}}\n", "option 'avatar_id': missing"),
        ("plugins: [{sentifyd: {api_key: canary-1}}]\n", "option 'api_key': this looks like the"),
        (CONFIG + "      colour: blue\n", "option 'colour': Unrecognised"),
        ("a: [\n", "cannot be read"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str | None, said: str
) -> None:
    (tmp_path / "site").mkdir()
    file = tmp_path / "mkdocs.yml"
    if config is not None:
        file.write_text(config)

    assert main(["inject", str(tmp_path / "site"), "--config-file", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mkdocs-sentifyd: ")
    assert said in line
    assert "canary" not in line


def test_a_site_that_is_not_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inject", str(tmp_path / "nowhere")]) == 2
    assert "build the site first" in capsys.readouterr().err


def test_a_mistake_in_front_matter_names_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page.html").write_text("<html><body></body></html>")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("---\nsentifyd: perhaps\n---\n")
    (tmp_path / "mkdocs.yml").write_text(CONFIG)

    command = ["inject", str(tmp_path / "site"), "--config-file", str(tmp_path / "mkdocs.yml")]
    assert main(command) == 2
    assert "page.md: `sentifyd` in the front matter" in capsys.readouterr().err


def test_a_disabled_plugin_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page.html").write_text("<html><body></body></html>")
    (tmp_path / "mkdocs.yml").write_text(CONFIG + "      enabled: false\n")

    command = ["inject", str(tmp_path / "site"), "--config-file", str(tmp_path / "mkdocs.yml")]
    assert main(command) == 0
    assert "0 of 1 pages changed" in capsys.readouterr().out
