"""Test `mkdocs-sentifyd inject` on sites that the plugin did not build."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mkdocs_sentifyd.cli import main
from tests.support.sites import BuildSite, Page

CONFIG = """\
site_name: Test
plugins:
  - a-plugin-that-is-not-installed
  - sentifyd:
      avatar_id: avtr_1234abcd
      token_endpoint: https://tokens.example.com/request_tokens
      exclude: [private/]
"""
WITHOUT_PATTERNS = CONFIG.replace("      exclude: [private/]\n", "")
PAGES = {
    "index.md": "# Home\n\n`</body>`\n",
    "own.md": "# Own\n\n<sentifyd-bot></sentifyd-bot>\n",
    "off.md": "---\nsentifyd: false\n---\n# Off\n",
    "private/index.md": "# Private\n",
    "private/page.md": "# Page\n",
    "guide/index.md": "---\nsentifyd: false\n---\n# Guide\n",
}


@pytest.mark.parametrize("directory_urls", [True, False])
def test_inject_writes_the_same_pages_as_the_plugin(
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
    # MkDocs writes its build time only on the home page.
    for path, text in files.items():
        assert path.read_text().partition("Build Date")[0] == text.partition("Build Date")[0]

    before = {path: path.stat().st_mtime_ns for path in files}
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("0 of 7 pages changed")
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_page_without_source_keeps_its_bytes_and_mode(tmp_path: Path) -> None:
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
    assert sorted(path.name for path in site.iterdir()) == [
        *("404.html", "assets", "page.html", "private")
    ]


PAGE = "<!doctype html><html><head></head><body><p>Text</p></body></html>"


class Site:
    """A site of another generator, with an mkdocs.yml and optional sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "site").mkdir()
        (folder / "docs").mkdir()

    def write(self, *paths: str, text: str | bytes = PAGE) -> None:
        for path in paths:
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def inject(self, options: str = "", config: str = "") -> int:
        (self.folder / "mkdocs.yml").write_text((config or CONFIG) + options)
        config_file = str(self.folder / "mkdocs.yml")
        return main(["inject", str(self.folder / "site"), "--config-file", config_file])

    def changed(self) -> set[str]:
        site = self.folder / "site"
        return {
            file.relative_to(site).as_posix()
            for file in site.rglob("*")
            if file.is_file() and b"<sentifyd-bot" in file.read_bytes()
        }


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


NAMES = ["index.html", "guide/index.html", "guide/a/index.html", "guide/b.html", "c.html"]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ("exclude: [guide/]", {"index.html", "c.html"}),
        ("include: [guide/]", {"guide/index.html", "guide/a/index.html", "guide/b.html"}),
        ("exclude: [/guide/index.md]", {*NAMES} - {"guide/index.html"}),
        ("exclude: [/guide/a.md, c.html]", {*NAMES} - {"guide/a/index.html", "c.html"}),
    ],
)
def test_patterns_match_pages_without_sources(site: Site, options: str, chosen: set[str]) -> None:
    site.write(*(f"site/{name}" for name in NAMES))

    assert site.inject(config=CONFIG.replace("exclude: [private/]", options)) == 0
    assert site.changed() == chosen


def test_front_matter_of_each_source_is_respected(site: Site) -> None:
    site.write(*(f"site/{name}" for name in NAMES))
    off = "\ufeff---\nsentifyd: false\n---\n"
    site.write("text/README.md", "text/guide/a.md", "text/guide/b.md", text=off)

    assert site.inject(config=f"docs_dir: text\n{CONFIG}") == 0
    assert site.changed() == {"guide/index.html", "c.html"}


def test_files_that_are_not_pages_are_not_changed(site: Site) -> None:
    site.write("site/page.HTM", "site/de/404.html", "elsewhere.html")
    site.write("site/google1.html", text="google-site-verification: google1.html")
    site.write("site/part.html", text="<li>part</li>")
    site.write("site/wide.html", text=PAGE.encode("utf-16"))
    site.write("site/empty.html", text="")
    refresh = '<meta http-equiv="refresh" content="0; url=/">'
    site.write("site/moved.html", text=PAGE.replace("<head>", f"<head>{refresh}"))
    (site.folder / "site" / "folder.html").mkdir()
    (site.folder / "site" / "dangling.html").symlink_to("nowhere.html")
    (site.folder / "site" / "link.html").symlink_to("../elsewhere.html")

    assert site.inject("      not_found_page: false\n") == 0
    assert site.changed() == {"page.HTM"}
    assert (site.folder / "site" / "link.html").is_symlink()


def test_page_that_cannot_be_written_is_reported(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write("site/page.html")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert site.inject() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("site/page.html: No space left on device")
    assert [file.name for file in (site.folder / "site").iterdir()] == ["page.html"]
    assert (site.folder / "site" / "page.html").read_text() == PAGE


def test_other_settings_in_mkdocs_yml_are_ignored(site: Site) -> None:
    site.write("site/page.html")
    others = (
        "markdown_extensions:\n"
        "  - pymdownx.snippets: {base_path: !relative $config_dir}\n"
        "  - emoji: {index: !!python/name:not_installed.index }\n"
        "  - slug: !!python/object/apply:os.abort {}\n"
    )

    assert site.inject(config=others + CONFIG) == 0
    assert site.changed() == {"page.html"}


def test_two_elements_are_reported(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write("site/a/page.html", text=PAGE.replace("Text", "<sentifyd-bot></sentifyd-bot>" * 2))

    assert site.inject() == 0
    assert "mkdocs-sentifyd: a/page.html: has 2 <sentifyd-bot>" in capsys.readouterr().err


@pytest.mark.parametrize("enabled", ["false", "!ENV [NEVER_SET_HERE, false]"])
def test_disabled_plugin_changes_nothing(
    site: Site, capsys: pytest.CaptureFixture[str], enabled: str
) -> None:
    site.write("site/page.html")

    assert site.inject(config=f"plugins: [{{sentifyd: {{enabled: {enabled}}}}}]") == 0
    assert "0 of 1 page changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, "does not exist: give its path with --config-file"),
        ("site_name: T\n", "has no sentifyd section under plugins"),
        ("plugins: [search]\n", "has no sentifyd section under plugins"),
        ("plugins: [sentifyd]\n", "option 'avatar_id': missing"),
        ("plugins: {sentifyd: {}}\n", "option 'avatar_id': missing"),
        ("plugins: [{sentifyd: {api_key: canary-1}}]\n", "option 'api_key': this looks like the"),
        (CONFIG + "      colour: blue\n", "option 'colour': no such option"),
        ("a: [\n", "cannot be read at line"),
        ("a: *canary-1\n", "cannot be read at line 1: fix its YAML"),
        ("plugins: [{sentifyd: {enabled: 'no'}}]\n", "'enabled' must be true or false"),
    ],
)  # fmt: skip
def test_invalid_config_file_is_reported_in_one_line_for_each_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str | None, expected: str
) -> None:
    (tmp_path / "site").mkdir()
    file = tmp_path / "mkdocs.yml"
    if config is not None:
        file.write_text(config)

    assert main(["inject", str(tmp_path / "site"), "--config-file", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("mkdocs-sentifyd: ") for line in lines)
    assert expected in lines[0]
    # Without any option, two are missing.
    assert len(lines) == (2 if "missing" in expected else 1)
    assert "canary" not in "".join(lines)


def test_missing_site_folder_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inject", str(tmp_path / "nowhere")]) == 2
    assert "build the site first" in capsys.readouterr().err


def test_invalid_front_matter_skips_only_that_page(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write("site/page.html", "site/other.html", "site/third.html")
    site.write("docs/page.md", text="---\nsentifyd: perhaps\n---\n")
    site.write("docs/other.md", text="---\nsentifyd: {captoins: true}\n---\n")

    assert site.inject(config=WITHOUT_PATTERNS) == 1
    assert site.changed() == {"third.html"}
    other, page = capsys.readouterr().err.splitlines()
    assert "page.html: `sentifyd` in the front matter must be true, false or a mapping" in page
    assert "other.html: `sentifyd` in the front matter: option 'captoins'" in other
    assert "did you mean captions?" in other


MANY = 1200


def test_large_site_reports_pages_in_order(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [f"p{number:04}" for number in range(MANY)]
    site.write(*(f"site/{name}.html" for name in pages))
    site.write("docs/p0700.md", text="---\nsentifyd: false\n---\n")
    site.write("docs/p0003.md", "docs/p1190.md", text="---\nsentifyd: perhaps\n---\n")
    twice = PAGE.replace("Text", "<sentifyd-bot></sentifyd-bot>" * 2)
    site.write("site/p0004.html", "site/p1191.html", text=twice)

    assert site.inject(config=WITHOUT_PATTERNS + "      exclude: [p0010.html, nowhere/]\n") == 1
    off = {"p0700.html", "p0003.html", "p1190.html", "p0010.html"}
    assert site.changed() == {f"{name}.html" for name in pages} - off
    output = capsys.readouterr()
    assert output.out.startswith(f"{MANY - len(off)} of {MANY} pages changed")
    reported = [
        line.removeprefix("mkdocs-sentifyd: ").split(":")[0] for line in output.err.splitlines()
    ]
    assert reported == ["p0004.html", "p1191.html", "exclude", "p0003.html", "p1190.html"]


def test_full_disk_is_reported_and_leaves_no_partial_page(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write(*(f"site/p{number:04}.html" for number in range(MANY)))

    def full(source: str, target: str) -> None:
        if target >= f"{site.folder}/site/p0600.html":
            raise OSError(28, "No space left on device")
        Path(source).rename(target)

    monkeypatch.setattr(os, "replace", full)
    assert site.inject(config=WITHOUT_PATTERNS) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("site/p0600.html: No space left on device")
    assert site.changed() == {f"p{number:04}.html" for number in range(600)}
    assert [file.name for file in (site.folder / "site").iterdir() if file.name[0] == "."] == []


def test_disk_that_fills_during_a_page_changes_nothing(site: Site) -> None:
    site.write("site/a.html")
    (site.folder / "mkdocs.yml").write_text(WITHOUT_PATTERNS)
    limit = len(PAGE) + 20
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from mkdocs_sentifyd.cli import main\n"
        "exit(main(['inject', 'site']))\n"
    )
    result = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=site.folder, capture_output=True, text=True
    )

    assert result.returncode == 2
    assert result.stderr == "mkdocs-sentifyd: site/a.html: File too large\n"
    assert (site.folder / "site" / "a.html").read_text() == PAGE
    assert [file.name for file in (site.folder / "site").iterdir()] == ["a.html"]


@pytest.mark.parametrize("signals", ["SIGINT, SIGINT", "SIGTERM, SIGINT", "SIGHUP, SIGTERM"])
def test_stop_signal_leaves_no_partial_page(site: Site, signals: str) -> None:
    site.write(*(f"site/p{number:04}.html" for number in range(MANY)))
    (site.folder / "mkdocs.yml").write_text(WITHOUT_PATTERNS)
    # The program stops itself while pages are still being written.
    code = (
        "import os\n"
        "from signal import SIGHUP, SIGINT, SIGTERM\n"
        "from mkdocs_sentifyd.site import inject as static_site\n"
        f"SIGNALS = {signals}\n"
        "from mkdocs_sentifyd.cli import main\n"
        "inject, pages = static_site.inject, []\n"
        "def stop(html, embed):\n"
        "    pages.append(1)\n"
        "    len(pages) == 300 and [os.kill(os.getpid(), n) for n in SIGNALS]\n"
        "    return inject(html, embed)\n"
        "static_site.inject = stop\n"
        "exit(main(['inject', 'site']))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=site.folder, capture_output=True, text=True
    )

    assert result.returncode == 130
    assert result.stderr == "mkdocs-sentifyd: stopped; run it again to finish\n"
    assert 200 < len(site.changed()) < MANY
    assert [file.name for file in (site.folder / "site").iterdir() if file.name[0] == "."] == []


def test_progress_is_shown_at_a_terminal(site: Site) -> None:
    site.write(*(f"site/p{number:04}.html" for number in range(250)))
    (site.folder / "mkdocs.yml").write_text(WITHOUT_PATTERNS)
    terminal, other_end = pty.openpty()
    command = [sys.executable, "-c", "from mkdocs_sentifyd.cli import main; exit(main())"]
    arguments = ["inject", "site"]
    result = subprocess.run(
        [*command, *arguments], cwd=site.folder, stderr=other_end, stdout=subprocess.PIPE, text=True
    )
    os.close(other_end)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)

    assert result.stdout == "250 of 250 pages changed in site\n"
    assert "Pages" in shown
    assert "100%" in shown
    # A pipe is not a terminal.
    again = subprocess.run([*command, *arguments], cwd=site.folder, capture_output=True, text=True)
    assert again.stdout == "0 of 250 pages changed in site\n"
    assert again.stderr == ""


def test_keyboard_interrupt_is_reported_in_one_line(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write("site/a.html", "site/b.html")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    assert site.inject(config=WITHOUT_PATTERNS) == 130
    assert capsys.readouterr().err == "mkdocs-sentifyd: stopped; run it again to finish\n"
    assert sorted(file.name for file in (site.folder / "site").iterdir()) == ["a.html", "b.html"]


def test_pages_in_any_encoding_keep_their_bytes(site: Site) -> None:
    """The tags are ASCII, so they are correct in all of these encodings."""
    head = '<meta charset="{}"><title>Grüße, 日本</title>'
    for charset in ("utf-8", "shift_jis", "gb18030"):
        page = PAGE.replace("<head>", "<head>" + head.format(charset))
        page = page if charset != "shift_jis" else page.replace("üß", "u")
        site.write(f"site/{charset}.html", text=page.encode(charset))
    config = WITHOUT_PATTERNS + "      brand: {name: 'Grüße, 日本'}\n"

    assert site.inject(config=config) == 0
    for charset in ("utf-8", "shift_jis", "gb18030"):
        text = (site.folder / "site" / f"{charset}.html").read_bytes().decode(charset)
        assert "日本</title>" in text
        assert Page(text).element()["brand-name"] == "Grüße, 日本"


def test_sources_of_translations_are_found(site: Site) -> None:
    def page(language: str) -> str:
        return PAGE.replace("<html>", f'<html lang="{language}">')

    for path, language in (
        ("de/folder/index.html", "de"),
        ("folder/index.html", "en"),
        ("de/suffix/index.html", "de"),
        ("suffix/index.html", "en"),
        ("pt-BR/suffix/index.html", "pt-BR"),
        ("de/both/index.html", "de"),
    ):
        site.write(f"site/{path}", text=page(language))
    off = "---\nsentifyd: false\n---\n"
    site.write("docs/de/folder.md", "docs/suffix.en.md", "docs/suffix.pt-BR.md", text=off)
    site.write("docs/both.md", text=off)
    site.write("docs/en/folder.md", text="---\nsentifyd: {captions: true}\n---\n")
    site.write("docs/suffix.de.md", text="")

    assert site.inject(config=WITHOUT_PATTERNS) == 0
    assert site.changed() == {"folder/index.html", "de/suffix/index.html"}
    element = Page((site.folder / "site/folder/index.html").read_text()).element()
    assert element["enable-captions"] == "true"
    element = Page((site.folder / "site/de/suffix/index.html").read_text()).element()
    assert element["ui-language"] == "de"


def test_meta_files_count_only_with_their_plugin(site: Site) -> None:
    site.write("site/a/deep/p/index.html", "site/a/on/index.html", "site/b/index.html")
    site.write("docs/a/deep/p.md", text="")
    site.write("docs/a/.meta.yml", text="sentifyd: false\n")
    site.write("docs/a/on.md", text="---\nsentifyd: true\n---\n")
    config = WITHOUT_PATTERNS.replace("plugins:", "plugins:\n  - meta")

    assert site.inject(config=config) == 0
    assert site.changed() == {"a/on/index.html", "b/index.html"}
    assert site.inject(config=WITHOUT_PATTERNS) == 0
    assert "a/deep/p/index.html" in site.changed()


def test_public_key_is_reported_and_replaces_the_endpoint(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write("site/a.html")
    endpoint = "      token_endpoint: https://tokens.example.com/request_tokens\n"
    config = WITHOUT_PATTERNS.replace(endpoint, "      public_api_key: pk_canary_1234567890\n")

    for _ in range(2):
        assert site.inject(config=config) == 0
        (line,) = capsys.readouterr().err.splitlines()
        assert "EVERY READER OF THE SITE GETS THIS KEY" in line
        assert "canary" not in line
    text = (site.folder / "site" / "a.html").read_text()
    assert Page(text).element() == {"avatar_id": "avtr_1234abcd", "api-key": "pk_canary_1234567890"}


def test_endpoint_with_a_final_slash_is_reported_and_used(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write("site/a.html")
    assert site.inject(config=WITHOUT_PATTERNS.replace("request_tokens", "request_tokens/")) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "option 'token_endpoint': ends with a slash" in line
    element = Page((site.folder / "site" / "a.html").read_text()).element()
    assert element["token_endpoint"] == "https://tokens.example.com/request_tokens/"


def test_invalid_public_key_stops_inject(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = "      token_endpoint: https://tokens.example.com/request_tokens\n"
    config = WITHOUT_PATTERNS.replace(endpoint, "      public_api_key: [canary]\n")
    assert site.inject(config=config) == 2
    assert "option 'public_api_key': must be at most 512" in capsys.readouterr().err


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert not stopped.value.code
    assert re.fullmatch(r"mkdocs-sentifyd \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "block",
    ["---\nsentifyd: false\n---\n", "+++\nsentifyd = false\n+++\n", "sentifyd: false\n---\n"],
)
def test_front_matter_may_have_any_line_ends(site: Site, line_end: str, block: str) -> None:
    text = block if block.startswith(("-", "+")) else f"---\n{block}"
    site.write("site/a.html")
    site.write("docs/a.md", text=f"{text}# A\n".replace("\n", line_end).encode())

    assert site.inject(config=WITHOUT_PATTERNS) == 0
    assert site.changed() == set()


def test_page_with_unreadable_front_matter_is_not_changed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write("site/a.html", "site/b.html", "site/c/d.html", "site/e.html", "site/f.html")
    site.write("docs/a.md", text="---\ntitle: Foo: bar\nsentifyd: false\n---\n")
    site.write("docs/b.md", text="+++\nsentifyd = perhaps\n+++\n")
    site.write("docs/c/.meta.yml", text="- sentifyd")
    site.write("docs/c/d.md", "docs/e.md", text="# D\n")
    site.write("docs/f.md", text=f"+++\nsentifyd = {'[' * 5000}\n+++\n")

    assert site.inject(config=WITHOUT_PATTERNS.replace("plugins:", "plugins:\n  - meta")) == 1
    assert site.changed() == {"e.html"}
    a, b, d, f = capsys.readouterr().err.splitlines()
    assert a.endswith(
        "a.html: its front matter has options for `sentifyd`, but it cannot be read: fix its YAML"
    )
    assert b.endswith("fix its TOML")
    assert f.endswith("fix its TOML")
    assert d.endswith("c/d.html: c/.meta.yml must contain a mapping")


def test_front_matter_without_a_page_is_reported(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write("site/blog/2026/01/01/post/index.html", "site/b.html")
    site.write("docs/blog/posts/post.md", text="---\nsentifyd: false\n---\n")
    site.write("docs/blog/posts/other.md", "docs/b.md", text="# B\n")

    assert site.inject(config=WITHOUT_PATTERNS) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "blog/posts/post.md: its page was not found" in line


@pytest.mark.parametrize("suffix", [".markdown", ".mdown", ".mkdn", ".mkd"])
def test_front_matter_is_read_from_every_markdown_suffix(site: Site, suffix: str) -> None:
    site.write("site/x/a/index.html")
    site.write(f"docs/x/a{suffix}", text="---\nsentifyd: false\n---\n")

    assert site.inject(config=WITHOUT_PATTERNS) == 0
    assert site.changed() == set()


def test_theme_pages_without_a_source_get_the_avatar(site: Site) -> None:
    site.write("site/search.html", "site/404.html", "site/guide/a.html")

    assert site.inject(config=WITHOUT_PATTERNS + "      include: [guide/]\n") == 0
    assert site.changed() == {"search.html", "404.html", "guide/a.html"}
    site.write("site/search.html", "site/404.html", "site/guide/a.html")
    assert site.inject(config=WITHOUT_PATTERNS + "      not_found_page: false\n") == 0
    assert site.changed() == {"guide/a.html"}


REFRESHES = [
    '<meta http-equiv="refresh" content="300">',
    '<!-- <meta http-equiv="refresh" content="0;url=/"> -->',
    '<script>var t=\'<meta http-equiv="refresh" content="0;url=/">\'</script>',
]


def test_only_a_real_redirect_is_not_changed(site: Site) -> None:
    for number, head in enumerate(REFRESHES):
        site.write(f"site/{number}.html", text=PAGE.replace("<head>", f"<head>{head}"))
    for number, head in enumerate(
        [
            '<META Content="0; URL=/x" HTTP-EQUIV=Refresh>',
            "<meta http-equiv=refresh content='1;url=x'>",
            # Material's redirect.html
            '<noscript><meta http-equiv="refresh" content="1; url=x"></noscript>',
        ]
    ):
        site.write(f"site/r{number}.html", text=PAGE.replace("<head>", f"<head>{head}"))

    assert site.inject(config=WITHOUT_PATTERNS) == 0
    assert site.changed() == {f"{number}.html" for number in range(len(REFRESHES))}


def test_language_is_read_from_the_real_html_tag(site: Site) -> None:
    tag = "<!-- <html lang=fr> --><html data-a='a>b' class=no-js lang=de>"
    site.write("site/a.html", text=PAGE.replace("<html>", tag))

    assert site.inject(config=WITHOUT_PATTERNS) == 0
    element = Page((site.folder / "site" / "a.html").read_text()).element()
    assert element["ui-language"] == "de"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("docs_dir: nowhere\n", "nowhere does not exist: correct it"),
        ("INHERIT: nowhere.yml\n", "INHERIT names a file that does not exist"),
        ("site_url: 'http://['\n", "site_url is malformed"),
        ("plugins: [{sentifyd: 5}]\n", "must be a mapping of options"),
        ("plugins: [{sentifyd: {brand: &a {brand: *a}}}]\n", "option 'avatar_id': missing"),
    ],
)
def test_configuration_mistakes_are_reported_in_one_line(
    site: Site, capsys: pytest.CaptureFixture[str], config: str, expected: str
) -> None:
    site.write("site/a.html")

    assert site.inject(config=config if "plugins" in config else config + WITHOUT_PATTERNS) == 2
    line, *others = capsys.readouterr().err.splitlines()
    assert expected in line
    assert all(": option '" in other for other in others)


@pytest.mark.parametrize(
    ("name", "expected"), [("zensical.toml", "into an mkdocs.yml"), ("docs", "Is a directory")]
)
def test_wrong_kind_of_config_file_is_reported_in_one_line(
    site: Site, capsys: pytest.CaptureFixture[str], name: str, expected: str
) -> None:
    if name != "docs":
        (site.folder / name).write_text("[project]\n")

    command = ["inject", str(site.folder / "site"), "--config-file", str(site.folder / name)]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


def test_missing_docs_folder_is_reported(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (site.folder / "docs").rmdir()
    site.write("site/a.html")

    assert site.inject(config=WITHOUT_PATTERNS) == 0
    assert "docs does not exist: front matter is ignored" in capsys.readouterr().err


def test_existing_file_is_not_used_as_temporary_file(site: Site) -> None:
    site.write("site/a.html", f"site/.a.html.{os.getpid()}")

    assert site.inject(config=WITHOUT_PATTERNS) == 2
    assert (site.folder / "site" / f".a.html.{os.getpid()}").read_text() == PAGE
    assert site.changed() == set()


INSTANT = (
    '<script id="__config" type="application/json">{"features":["navigation.instant"]}</script>'
)
QUOTED = "assets/sentifyd/0123456789ab/core.js"


def _write_site(site: Site, page: str = PAGE) -> None:
    """A page that is chosen, and one that is not."""
    site.write("site/index.html", "site/off/index.html", text=page)
    site.write("docs/off.md", text="---\nsentifyd: false\n---\n")


def _with_config(text: str) -> str:
    return PAGE.replace("Text", text).replace("</body>", f"{INSTANT}</body>")


def _html(site: Site) -> dict[str, str]:
    folder = site.folder / "site"
    return {
        file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*.html")
    }


@pytest.mark.parametrize("is_minified", [False, True])
@pytest.mark.parametrize("page", [PAGE, _with_config("Text")], ids=["static", "instant"])
def test_newer_version_does_not_change_injected_pages(
    site: Site, page: str, is_minified: bool
) -> None:
    _write_site(site, page)
    assert site.inject(config=WITHOUT_PATTERNS) == 0
    assets = site.folder / "site/assets/sentifyd"
    (installed,) = filter(Path.is_dir, assets.iterdir())
    for path, text in _html(site).items():
        older = text.replace(installed.name, "0123456789ab")
        if is_minified:
            older = re.sub(r'\b(name|rel|type|media)="(\w+)"', r"\1=\2", older)
        site.write(f"site/{path}", text=older)
    installed.rename(assets / "0123456789ab")
    before = _html(site)
    assert "0123456789ab" in before["index.html"]
    assert ("0123456789ab" in before["off/index.html"]) is (page != PAGE)

    assert site.inject(config=WITHOUT_PATTERNS) == 0

    assert _html(site) == before


def test_page_that_only_mentions_runtime_files_gets_them(site: Site) -> None:
    _write_site(site, _with_config(f'&lt;script src="{QUOTED}"&gt; <code>{QUOTED}</code>'))

    assert site.inject(config=WITHOUT_PATTERNS) == 0

    for text in _html(site).values():
        assert len(Page(text).soup.select('head > script[src$="/core.js"]')) == 1


def test_non_latin_names_reach_the_runtime(site: Site) -> None:
    name = "Müller 你好"
    element = f'<sentifyd-bot brand-name="{name}"></sentifyd-bot>'
    site.write("site/index.html", text=_with_config(element))

    assert site.inject(config=WITHOUT_PATTERNS) == 0

    (meta,) = Page(_html(site)["index.html"]).soup.select("meta[name=sentifyd]")
    assert json.loads(str(meta["content"]))["attributes"]["brand-name"] == name


@pytest.mark.parametrize("page", [PAGE, _with_config("Text")], ids=["static", "instant"])
def test_deleted_runtime_files_are_restored(site: Site, page: str) -> None:
    def installed() -> set[str]:
        return {file.name for file in (site.folder / "site/assets").rglob("*.*")}

    _write_site(site, page)
    assert site.inject(config=WITHOUT_PATTERNS) == 0
    files, pages = installed(), _html(site)
    assert ("core.js" in files) is (page != PAGE)
    shutil.rmtree(site.folder / "site/assets")

    assert site.inject(config=WITHOUT_PATTERNS) == 0

    assert installed() == files
    assert _html(site) == pages
