"""Test that `mkdocs-sentifyd inject` can run again with other options, and undo its work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mkdocs_sentifyd.cli import main
from tests.support.sites import OPTIONS, build_site, write_site

MATERIAL = {"name": "material", "font": False, "features": ["navigation.instant"]}
PAGES = {
    "index.md": "# Home\n\n`</body>`\n",
    "own.md": '# Own\n\n<sentifyd-bot brand-name="Mine"></sentifyd-bot>\n',
    "bare.md": "# Bare\n\n<sentifyd-bot/>\n\nAfter.\n",
    "loader.md": '# Loader\n\n<script src="https://frontend.sentifyd.io/sentifyd-bot/main.js" '
    "defer></script>\n",
    "realtime.md": "# Realtime\n\n<sentifyd-realtime></sentifyd-realtime>\n",
    "off.md": "---\nsentifyd: false\n---\n# Off\n",
    "private/a.md": "---\nsentifyd: {display: compact}\n---\n# A\n",
}
# Each changes which pages have an avatar, and whether they need the runtime.
CHOICES: list[dict[str, object]] = [
    {},
    {"avatar_id": "avtr_5678", "exclude": ["private/"]},
    {"load": "interaction", "consent": "sentifyd"},
    {
        "component": "realtime",
        "display": "overlay",
        "include": ["private/"],
        "shortcut": "Ctrl+Alt+K",
    },
]
BROKEN = {
    "latin.html": b"<html><head></head><body>\xff\r\n</body></html>",
    "unclosed.html": b"<html><head><title>T</title></head><body><p>Text<!-- never closed",
    "fragment.html": b"<p>Fragment</p>",
}


def _contents(site: Path) -> dict[str, bytes]:
    files = (file for file in site.rglob("*") if file.is_file())
    return {file.relative_to(site).as_posix(): file.read_bytes() for file in files}


class Site:
    """A site without the plugin, in which `inject` runs with different options."""

    def __init__(self, folder: Path, theme: object) -> None:
        self.folder = folder
        self.theme = theme
        settings = {"site_name": "Test", "theme": theme, "plugins": ["search"]}
        self.path = build_site(folder, settings, PAGES).site
        for name, content in BROKEN.items():
            (self.path / name).write_bytes(content)
        self.original = _contents(self.path)

    def inject(self, options: dict[str, object], *arguments: str) -> int:
        plugins = ["search", {"sentifyd": {**OPTIONS, **options}}]
        write_site(self.folder, {"site_name": "Test", "theme": self.theme, "plugins": plugins}, {})
        config_file = str(self.folder / "mkdocs.yml")
        return main(["inject", str(self.path), "--config-file", config_file, *arguments])

    def contents(self) -> dict[str, bytes]:
        return _contents(self.path)

    def reset(self) -> None:
        shutil.rmtree(self.path)
        for name, content in self.original.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


@pytest.mark.parametrize("theme", ["mkdocs", MATERIAL], ids=["mkdocs", "instant"])
def test_other_options_replace_the_avatars(tmp_path: Path, theme: object) -> None:
    site = Site(tmp_path, theme)
    wanted = []
    for options in CHOICES:
        assert site.inject(options) == 0
        wanted.append(site.contents())
        site.reset()
    assert len({tuple(sorted(contents.items())) for contents in wanted}) == len(CHOICES)

    for number in (0, 1, 2, 3, 1, 0, 0):
        assert site.inject(CHOICES[number]) == 0
        found = site.contents()
        # Files of the runtime may remain of an earlier choice.
        assert found.items() >= wanted[number].items()
        assert {name for name in found if name.endswith(".html")} == {
            name for name in site.original if name.endswith(".html")
        }


@pytest.mark.parametrize("theme", ["mkdocs", MATERIAL], ids=["mkdocs", "instant"])
@pytest.mark.parametrize("options", CHOICES[::2], ids=["plain", "consent"])
def test_everything_is_removed_again(
    tmp_path: Path,
    theme: object,
    options: dict[str, object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = Site(tmp_path, theme)
    assert site.inject(options) == 0
    injected = capsys.readouterr().out
    assert site.contents() != site.original

    assert site.inject({}, "--remove") == 0
    assert capsys.readouterr().out == injected
    assert site.contents() == site.original
    # The second time there is nothing to do.
    assert site.inject({}, "--remove") == 0
    assert capsys.readouterr().out.startswith("0 of ")


def test_page_that_was_changed_later_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, MATERIAL)
    site.inject({})
    page = site.path / "index.html"
    page.write_text(page.read_text().replace("Home", "Start"))
    capsys.readouterr()
    text = page.read_text()

    for arguments, what in (((), "replace"), (("--remove",), "remove")):
        assert site.inject({"display": "compact"}, *arguments) == 1
        assert capsys.readouterr().err.endswith(
            f"index.html: was changed after `inject`, which cannot {what} its avatar: build the "
            "site again\n"
        )
        assert page.read_text() == text
        assert b"compact" in (site.path / "bare/index.html").read_bytes() or arguments
    # Its avatar still needs the files of the runtime.
    assert list(site.path.glob("assets/sentifyd/*/core.js"))


def test_rebuilt_pages_get_the_new_options(tmp_path: Path) -> None:
    site = Site(tmp_path, MATERIAL)
    site.inject(CHOICES[1])
    wanted = site.contents()
    site.inject({})
    for name, content in site.original.items():
        (site.path / name).write_bytes(content)

    assert site.inject(CHOICES[1]) == 0
    assert site.contents() == wanted


def test_pages_of_the_plugin_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"site_name": "Test", "plugins": [{"sentifyd": OPTIONS}]}
    pages = {name: text for name, text in PAGES.items() if name != "realtime.md"}
    built = build_site(tmp_path, settings, pages).site
    before = _contents(built)
    (built / "copied.html").write_bytes(BROKEN["latin.html"])
    command = ["inject", str(built), "--config-file", str(tmp_path / "mkdocs.yml")]

    assert main(command) == 0
    after = _contents(built)
    assert b"<sentifyd-bot" in after["copied.html"]
    assert {name: after[name] for name in before if name.endswith(".html")} == {
        name: before[name] for name in before if name.endswith(".html")
    }
    assert main(["check", *command[1:]]) == 0

    assert main([*command, "--remove"]) == 0
    assert _contents(built) == {**before, "copied.html": BROKEN["latin.html"]}

    options = {**OPTIONS, "display": "compact"}
    write_site(tmp_path, {**settings, "plugins": [{"sentifyd": options}]}, {})
    capsys.readouterr()
    assert main(command) == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(f"the plugin has built {built} with another configuration: build the site again")
    )
    assert _contents(built) == {**before, "copied.html": BROKEN["latin.html"]}


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": ["b", [[1]]]}', "\xff"])
def test_malformed_file_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    site = Site(tmp_path, "mkdocs")
    file = site.path / "assets/sentifyd/inserted.json"
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="latin-1")

    assert site.inject({}, "--remove") == 2
    assert "assets/sentifyd/inserted.json is malformed" in capsys.readouterr().err
