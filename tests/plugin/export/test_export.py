"""Test `mkdocs-sentifyd export` on sites that MkDocs has built."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from mkdocs_sentifyd.cli import main
from mkdocs_sentifyd.export import documents as bounds
from tests.support.sites import OPTIONS, build_site

URL = "https://docs.example.com/sub/"
CANARY = "canary-5f2e-training-key-91"
ENCRYPTED = '<div id="mkdocs-encrypted-content" style="display:none">canary-ciphertext</div>'
SAMPLE = """# Setup

Install the package, and start the program.

!!! warning "Read this"

    Not on Fridays.

- one
    - nested

| Option | Value |
|--------|-------|
| `a`    | 1     |

```python
def f() -> int:
    return 1
```

![A diagram](../plan.png) and [the reference](../reference.md#limits).

## How do I stop it?

Press Ctrl and C at the same time.

## =Limits

- @home it has no limits at all.
"""
PAGES = {
    "index.md": "# Welcome\n\nThis is the first page of the site.\n",
    "reference.md": "---\ndescription: All [options].\n---\n# Reference\n\n## Limits\n\nOne.\n",
    "guide/setup.md": SAMPLE,
    "guide/arabic.md": "# مرحبا بالعالم\n\n## كيف أبدأ؟\n\nثبّت الحزمة ثم شغّل البرنامج.\n",
    "guide/advanced-use.md": "Text without a heading, about 日本語.\n",
    "z-first.md": "# First in the navigation\n\nIt has a name that sorts last.\n",
    "off.md": "---\nsentifyd: false\n---\n# Off\n\ncanary-off\n",
    "private/x.md": "# Private\n\ncanary-excluded\n",
    "unlisted.md": "# Unlisted\n\ncanary-unlisted\n",
    "noindex.md": '# Hidden\n\n<meta name="robots" content="noindex">\n\ncanary-noindex\n',
    "secret.md": f"# Secret\n\n{ENCRYPTED}\n",
    "leak.md": "# Leak\n\n```sh\nAVATAR_API_KEY=f81d4fae7dec11d0a765\n```\n",
}
NAV: list[object] = [
    "index.md",
    "z-first.md",
    {"Guide": ["guide/setup.md", "guide/arabic.md", "guide/advanced-use.md"]},
    *("reference.md", "off.md", "private/x.md", "noindex.md", "secret.md", "leak.md"),
]
EXPORTED = [
    ("Pages", "Welcome", ""),
    ("Pages", "First in the navigation", "z-first/"),
    ("Pages", "Reference", "reference/"),
    ("Guide", "Setup", "guide/setup/"),
    ("Guide", "مرحبا بالعالم", "guide/arabic/"),
    ("Guide", "Advanced use", "guide/advanced-use/"),
]


class Site(NamedTuple):
    """A built site, and its export."""

    folder: Path
    output: Path

    def run(self, *arguments: str, output: Path | None = None) -> int:
        site, config = self.folder / "site", self.folder / "mkdocs.yml"
        where = output or self.output
        command = ["export", str(site), "--config-file", str(config), "--output", str(where)]
        return main([*command, *arguments])

    def text(self, name: str) -> str:
        return (self.output / name).read_bytes().decode()


def built(folder: Path, theme: str, pages: Mapping[str, str] = PAGES) -> Site:
    config = {
        "site_name": "Example",
        "site_description": "What the example does.",
        "site_url": URL,
        "theme": theme,
        "nav": [entry for entry in NAV if not isinstance(entry, str) or entry in pages],
        "edit_uri": "edit/main/docs/",
        "repo_url": "https://code.example.com/example",
        "markdown_extensions": [
            *("admonition", "attr_list", "pymdownx.superfences"),
            {"toc": {"permalink": True}},
            {"pymdownx.highlight": {"pygments_lang_class": True, "linenums": True}},
        ],
        "plugins": ["search", {"sentifyd": {**OPTIONS, "exclude": ["private/"]}}],
        "not_in_nav": "unlisted.md",
    }
    built = build_site(folder, config, {**pages, "plan.png": ""})
    assert built.status == 0, built.output
    return Site(folder, folder / "out")


@pytest.fixture(scope="module", params=["mkdocs", "material"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """An export, whose site and files no test changes."""
    site = built(tmp_path_factory.mktemp("export"), request.param)
    assert site.run() == 1, "a page with a key is refused"
    return site


@pytest.fixture
def copy(exported: Site, tmp_path: Path) -> Site:
    """A copy of the built site, without an export and without the page with a key."""
    shutil.copytree(exported.folder / "site", tmp_path / "site")
    shutil.copy(exported.folder / "mkdocs.yml", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "site/leak/index.html").unlink()
    return Site(tmp_path, tmp_path / "out")


one_theme = pytest.mark.parametrize("exported", ["mkdocs"], indirect=True)


def test_llms_txt_lists_the_chosen_pages_in_the_order_of_the_navigation(exported: Site) -> None:
    text = exported.text("llms.txt")
    assert text.startswith("# Example\n\n> What the example does.\n\n## Pages\n\n- [Welcome](")
    found, group = [], ""
    for line in text.splitlines()[3:]:
        if line.startswith("## "):
            group = line.removeprefix("## ")
        elif link := re.fullmatch(
            r"- \[([^]]+)\]\(https://docs\.example\.com/sub/([^)]*)\).*", line
        ):
            found.append((group, link[1], link[2]))
        else:
            assert line == ""
    assert found == EXPORTED
    # MkDocs' own theme writes the descriptions of no page but the first, which is the site's.
    has_descriptions = "material" in (exported.folder / "mkdocs.yml").read_text()
    assert text.count(": ") == has_descriptions
    assert (f"[Reference]({URL}reference/): All [options].\n" in text) == has_descriptions


def test_full_text_and_documents_have_the_content_of_each_page_once(exported: Site) -> None:
    full = exported.text("llms-full.txt")
    assert full.startswith("# Example\n\n> What the example does.\n\n# Welcome\n\nSource: ")
    # This site is small.
    assert full.endswith(exported.text("training-1.md"))
    assert not (exported.output / "training-2.md").exists()
    for _, title, url in EXPORTED:
        assert full.count(f"# {title}\n\nSource: {URL}{url}\n") == 1
    assert SAMPLE_AS_EXPORTED in full
    assert "ثبّت الحزمة ثم شغّل البرنامج" in full
    assert "about 日本語" in full


SAMPLE_AS_EXPORTED = f"""
Source: {URL}guide/setup/

Install the package, and start the program.

> **Read this**
>
> Not on Fridays.

- one
  - nested

| Option | Value |
| --- | --- |
| `a` | 1 |

```python
def f() -> int:
    return 1
```

![A diagram]({URL}plan.png) and [the reference]({URL}reference/#limits).

## How do I stop it?

Press Ctrl and C at the same time.

## =Limits

- @home it has no limits at all.
"""


def test_only_public_pages_with_an_avatar_are_exported(exported: Site) -> None:
    for file in exported.output.iterdir():
        text = file.read_text(encoding="utf-8")
        assert "canary" not in text, file
        assert "f81d4fae7dec11d0a765" not in text, file
        # The navigation, buttons and the page's own scripts.
        assert not re.search(r"(?i)¶|edit this|edit on|sentifyd|search|code\.example", text), file


def test_questions_are_read_as_a_table_without_formulas(exported: Site) -> None:
    content = exported.text("questions.csv")
    rows = list(csv.reader(content.splitlines(keepends=True), strict=True))
    assert rows[0] == ["question", "answer"]
    pairs = dict(rows[1:])
    assert len(pairs) == len(rows) - 1
    assert pairs["How do I stop it?"] == "Press Ctrl and C at the same time."
    assert pairs["Setup: =Limits"] == "'@home it has no limits at all."
    assert "ثبّت" in pairs["كيف أبدأ؟"]
    assert pairs["Welcome"] == "This is the first page of the site."


@one_theme
def test_report_names_sizes_and_what_is_left_out(
    copy: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert copy.run() == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    files = ["llms.txt", "llms-full.txt", "training-1.md", "questions.csv"]
    sizes = [(copy.output / name).stat().st_size for name in files]
    paths = [copy.output / name for name in files]
    assert lines[:4] == [f"{path}: {size:,} bytes" for path, size in zip(paths, sizes, strict=True)]
    assert lines[-1] == "6 pages exported, 6 left out"
    left_out = {line.partition("): ")[0]: line.partition("): ")[2] for line in lines[4:-1]}
    assert left_out == {
        "left out (a page of the theme": "404.html",
        "left out (no avatar": "off/index.html, private/x/index.html",
        "left out (encrypted, noindex or outside of the navigation": (
            "noindex/index.html, secret/index.html, unlisted/index.html"
        ),
    }
    assert copy.run("--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["pages"] == 6
    assert report["files"] == [
        {"name": name, "bytes": size} for name, size in zip(files, sizes, strict=True)
    ]
    assert {"page": "off/index.html", "why": "no avatar"} in report["left_out"]
    assert report["cut"] == []


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@one_theme
def test_same_site_gives_the_same_bytes(copy: Site) -> None:
    assert copy.run() == 0
    before = contents(copy.output)
    assert copy.run() == 0
    assert contents(copy.output) == before
    assert copy.run(output=copy.folder / "other/new") == 0
    assert contents(copy.folder / "other/new") == before


@one_theme
@pytest.mark.parametrize("name", ["llms.txt", "training-1.md", "questions.csv", "export.json"])
def test_a_file_that_export_did_not_write_is_kept(
    copy: Site, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that the site itself has."""
    own = copy.folder / "site" / name
    own.write_text("canary-own")
    before = sorted(copy.folder.joinpath("site").iterdir())
    assert copy.run(output=copy.folder / "site") == 2
    line = capsys.readouterr().err
    assert re.fullmatch(
        rf"mkdocs-sentifyd: {own} [^\n]+: move it, or choose another [^\n]+\n", line
    )
    assert own.read_text() == "canary-own"
    assert sorted(copy.folder.joinpath("site").iterdir()) == before


@one_theme
def test_a_later_export_replaces_only_what_nobody_changed(
    copy: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bounds, "SMALL_DOCUMENT", 300)
    assert copy.run() == 0
    assert (copy.output / "training-3.md").exists()
    (copy.output / "notes.md").write_text("mine")
    (copy.folder / "site/z-first/index.html").unlink()
    monkeypatch.undo()
    assert copy.run() == 0
    assert not (copy.output / "training-2.md").exists(), "an old part must not stay"
    assert "First in the navigation" not in copy.text("llms.txt")
    assert (copy.output / "notes.md").read_text() == "mine"

    (copy.output / "questions.csv").write_text("corrected by hand")
    before = contents(copy.output)
    capsys.readouterr()
    assert copy.run() == 2
    assert "questions.csv was changed after the export" in capsys.readouterr().err
    assert contents(copy.output) == before


@one_theme
def test_a_failure_leaves_everything_as_it_was(
    copy: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rename, write = Path.rename, Path.write_bytes

    def failing_rename(source: Path, target: Path) -> Path:
        if target.name == "questions.csv" and "new" in source.name:
            raise KeyboardInterrupt
        return rename(source, target)

    def failing_write(file: Path, content: bytes) -> int:
        if file.name == "new-3":
            raise OSError(28, "No space left on device", str(file))
        return write(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", failing_write)
        assert copy.run() == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not copy.output.exists()

    assert copy.run() == 0
    before = contents(copy.output)
    (copy.folder / "site/z-first/index.html").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", failing_rename)
        assert copy.run() == 130
    assert contents(copy.output) == before


@one_theme
def test_what_is_too_large_is_cut_and_reported(
    copy: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = {"MAX_PAGE": 200, "MAX_DOCUMENT": 250, "MAX_FULL": 500, "MAX_INDEX": 300}
    for name, value in {**limits, "MAX_DOCUMENTS": 2, "SMALL_DOCUMENT": 100}.items():
        monkeypatch.setattr(bounds, name, value)
    assert copy.run("--json") == 0
    report = json.loads(capsys.readouterr().out)
    sizes = {file["name"]: file["bytes"] for file in report["files"]}
    assert sizes.keys() == {
        *("llms.txt", "llms-full.txt", "training-1.md", "training-2.md", "questions.csv"),
    }
    assert sizes["llms.txt"] <= 300
    assert sizes["llms-full.txt"] <= 500
    assert max(sizes["training-1.md"], sizes["training-2.md"]) <= 250
    cut = "\n".join(report["cut"])
    assert re.search(r"^guide/setup/index\.html: only its first", cut, re.MULTILINE)
    for name in ("llms.txt", "llms-full.txt", "documents"):
        assert re.search(
            rf"^{name}: without \S+ and the pages after it, \d+ in all$", cut, re.MULTILINE
        )
    assert "Press Ctrl" not in copy.text("llms-full.txt")


def test_documents_are_balanced_and_keep_pages_whole_and_in_order() -> None:
    pages = [
        bounds.Page(f"{n}", f"{n}/", "", "", "", f"# {n}\n" + "x" * (n % 7) * 5000, False, ())
        for n in range(60)
    ]
    texts, missing = bounds.documents(pages)
    assert len(texts) == 5
    assert missing == []
    assert re.findall(r"^# (\d+)$", "\n".join(texts), re.MULTILINE) == [str(n) for n in range(60)]
    sizes = [bounds.size(text) for text in texts]
    assert max(sizes) - min(sizes) < 60_000 < max(sizes)


@one_theme
def test_a_key_is_refused_and_never_shown(
    copy: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVATAR_API_KEY", CANARY)
    page = copy.folder / "site/z-first/index.html"
    html = page.read_text(encoding="utf-8")
    half = len(CANARY) // 2
    split = f"{CANARY[:half]}<span>{CANARY[half:]}</span>"
    for leak in (
        f"<p>{split}</p>",
        f'<p><a href="?k={CANARY}">a</a></p>',
        f"<img alt={CANARY} src=a>",
    ):
        page.write_text(html.replace("<p>It has", f"{leak}<p>It has"), encoding="utf-8")
        assert copy.run() == 1
        printed = "".join(capsys.readouterr())
        assert "left out (what looks like an API key): z-first/index.html" in printed
        assert CANARY not in printed + "".join(map(str, contents(copy.output).values()))
    # Marks of Markdown come between name and value.
    leak = "<p><b>SENTIFYD_KEY</b>: <code>f81d4fae7dec11d0a765</code></p><p>It has"
    page.write_text(html.replace("<p>It has", leak), encoding="utf-8")
    assert copy.run() == 1
    config = copy.folder / "mkdocs.yml"
    config.write_text(config.read_text().replace("What the example does.", CANARY))
    assert copy.run() == 2
    printed = "".join(capsys.readouterr())
    assert "site_description has what looks like an API key: remove it" in printed
    assert CANARY not in printed


def lines_for(site: Site, capsys: pytest.CaptureFixture[str]) -> str:
    assert site.run() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert not site.output.exists()
    return printed.err


@one_theme
def test_what_is_missing_is_one_line(copy: Site, capsys: pytest.CaptureFixture[str]) -> None:
    config = copy.folder / "mkdocs.yml"
    text = config.read_text()
    config.write_text(text.replace(URL, ""))
    assert "site_url is not set" in lines_for(copy, capsys)
    config.write_text(text)
    for page in (copy.folder / "site").rglob("*.html"):
        page.unlink()
    assert "no page to export" in lines_for(copy, capsys)
    (copy.folder / "site/assets/sentifyd/pages.json").unlink()
    assert "has no assets/sentifyd/pages.json" in lines_for(copy, capsys)
    shutil.rmtree(copy.folder / "site")
    assert "build the site first" in lines_for(copy, capsys)


@one_theme
def test_output_must_be_a_folder(copy: Site, capsys: pytest.CaptureFixture[str]) -> None:
    copy.output.write_text("mine")
    assert copy.run() == 2
    assert "is not a folder: choose another --output" in capsys.readouterr().err
    copy.output.unlink()
    copy.output.mkdir()
    (copy.output / "llms.txt").symlink_to("nowhere")
    assert copy.run() == 2
    assert (copy.output / "llms.txt").readlink() == Path("nowhere")


@one_theme
def test_a_page_that_is_too_deep_is_left_out(
    copy: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    page = copy.folder / "site/z-first/index.html"
    html = page.read_text(encoding="utf-8")
    page.write_text(html.replace("<p>It has", "<div>" * 3000 + "<p>It has"), encoding="utf-8")
    assert copy.run() == 0
    printed = capsys.readouterr().out
    assert "left out (too many elements inside of each other): z-first/index.html" in printed
