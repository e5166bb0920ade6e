"""Run real strict builds, and parse every rendered page."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.support.sites import ENDPOINT, LOADER, BuildSite, Page

SAMPLE = """
Put `<sentifyd-bot>` before `</body>`:

```html
<script src="https://frontend.sentifyd.io/sentifyd-bot/main.js" defer></script>
</head>
<sentifyd-bot token_endpoint="https://your-backend.com/request_tokens" avatar_id="X">
</sentifyd-bot>
</body>
```

    <sentifyd-bot></sentifyd-bot>

<!-- <sentifyd-bot></sentifyd-bot> </body> -->

<script>const text = "<sentifyd-bot></sentifyd-bot></body>";</script>

<textarea><sentifyd-bot></sentifyd-bot></textarea>
"""

PAGES = {
    "index.md": "# Home\n\nHello ümlaut.\n",
    "samples.md": f"# Samples\n{SAMPLE}",
    "own.md": "# Own\n\nBefore.\n\n<sentifyd-bot></sentifyd-bot>\n\nAfter.\n",
    "own-with-samples.md": f"# Own\n{SAMPLE}\n\n<sentifyd-bot></sentifyd-bot>\n",
    "off.md": "---\nsentifyd: false\n---\n\n# Off\n",
    "guide/in.md": "# In\n",
    "private/out.md": "# Out\n",
}


@pytest.mark.parametrize(
    ("theme", "directory_urls"),
    list(itertools.product(["mkdocs", "readthedocs", "material"], [True, False])),
)
def test_avatar_in_every_theme_and_url_form(
    build: BuildSite, theme: str, directory_urls: bool
) -> None:
    built = build(
        PAGES,
        {"exclude": ["private/"]},
        theme={"name": theme, **({"font": False} if theme == "material" else {})},
        use_directory_urls=directory_urls,
    )
    assert built.status == 0, built.output

    def page(name: str) -> Page:
        if name == "index":
            return built.page("index.html")
        return built.page(f"{name}/index.html" if directory_urls else f"{name}.html")

    for name in ("index", "guide/in"):
        page(name).assert_avatar()
        (element,) = page(name).elements()
        assert element.parent
        assert element.parent.name == "body"
    for name in ("off", "private/out"):
        page(name).assert_no_avatar()
    built.page("404.html").assert_avatar()

    own = page("own")
    own.assert_avatar()
    text = own.soup.get_text()
    assert text.index("Before.") < text.index("After.")
    (element,) = own.elements()
    before, after = element.find_previous("p"), element.find_next(string="After.")
    assert before
    assert after

    samples = page("samples")
    assert [tag.attrs for tag in samples.loaders()] == [{"src": LOADER, "defer": ""}]
    (element,) = samples.elements()
    assert element.parent
    assert element.parent.name == "body"
    assert samples.soup.find_all("textarea")[-1].get_text() == "<sentifyd-bot></sentifyd-bot>"
    code = " ".join(tag.get_text() for tag in samples.soup.find_all("code"))
    assert 'avatar_id="X"' in code
    assert ENDPOINT not in code
    assert '"<sentifyd-bot></sentifyd-bot></body>"' in samples.html

    both = page("own-with-samples")
    assert len(both.loaders()) == 1
    (element,) = both.elements()
    assert element.attrs == {"token_endpoint": ENDPOINT, "avatar_id": "avtr_1234abcd"}
    assert element.parent
    assert element.parent.name != "body"


def test_page_without_an_avatar_is_unchanged(build: BuildSite) -> None:
    pages = {"index.md": f"# Home\n{SAMPLE}"}
    without = build(pages, plugins=["search"]).page("index.html").html
    excluded = build(pages, {"exclude": "*"}).page("index.html").html

    def body(html: str) -> str:
        return html.partition("Build Date")[0]

    assert body(excluded) == body(without)


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        (None, None, {"index", "a/one", "a/two", "b/one"}),
        (["a/"], None, {"a/one", "a/two"}),
        (["/index.md", "b/"], None, {"index", "b/one"}),
        (None, ["one.md"], {"index", "a/two"}),
        ("*\n!b/*\n", None, {"index", "a/one", "a/two"}),
        (["a/"], "# a comment\n\n/a/two.md\n", {"a/one"}),
        (None, ["*", "!/index.md"], {"index"}),
        ([], None, set()),
    ],
)
def test_include_and_exclude_choose_pages(
    build: BuildSite, include: object, exclude: object, chosen: set[str]
) -> None:
    names = ["index", "a/one", "a/two", "b/one"]
    built = build(
        {f"{name}.md": f"# {name}\n" for name in names},
        {"include": include, "exclude": exclude},
        use_directory_urls=False,
    )

    assert built.status == 0, built.output
    assert {n for n in names if built.page(f"{n}.html").elements()} == chosen


def test_front_matter_wins_over_patterns(build: BuildSite) -> None:
    built = build(
        {
            "index.md": "---\nsentifyd: false\n---\n# Home\n",
            "on.md": "---\nsentifyd: true\n---\n# On\n",
        },
        {"exclude": ["on.md"]},
    )

    built.page("index.html").assert_no_avatar()
    built.page("on/index.html").assert_avatar()


def test_mistake_in_front_matter_is_reported_with_the_page(build: BuildSite) -> None:
    built = build({"index.md": "# Home\n", "a/b.md": "---\nsentifyd: off please\n---\n# B\n"})

    assert built.status == 1
    assert "sentifyd: a/b.md: `sentifyd` in the front matter must be true, false" in built.output


def test_not_found_page_option_removes_the_avatar(build: BuildSite) -> None:
    built = build({"index.md": "# Home\n"}, {"not_found_page": False}, theme="material")

    built.page("404.html").assert_no_avatar()
    built.page("index.html").assert_avatar()


def test_not_found_page_can_be_excluded(build: BuildSite) -> None:
    built = build({"index.md": "# Home\n"}, {"exclude": ["404.html"]})

    assert built.status == 0, built.output
    built.page("404.html").assert_no_avatar()
    built.page("index.html").assert_avatar()


def test_theme_templates_that_are_fragments_are_unchanged(build: BuildSite, tmp_path: Path) -> None:
    fragment = '<meta name="theme" content="1">'
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom" / "version.html").write_text(fragment)
    theme = {"name": "mkdocs", "custom_dir": "custom", "static_templates": ["version.html"]}
    built = build({"index.md": "# Home\n"}, theme=theme)

    assert (built.site / "version.html").read_text() == fragment


def test_static_theme_template_has_an_avatar(build: BuildSite) -> None:
    built = build({"index.md": "# Home\n"}, theme="readthedocs", site_url="https://a.example/")

    built.page("search.html").assert_avatar()
    assert "sentifyd" not in (built.site / "sitemap.xml").read_text()


def test_authors_attributes_are_kept(build: BuildSite) -> None:
    mine = '<SENTIFYD-BOT\n  avatar-id = mine toggler="false"\n></SENTIFYD-BOT>'
    built = build({"index.md": f"# Home\n\n<div>\n{mine}\n</div>\n"})

    (element,) = built.page("index.html").elements()
    assert element.attrs == {"token_endpoint": ENDPOINT, "avatar-id": "mine", "toggler": "false"}


def test_authors_loader_stays_the_only_one(build: BuildSite) -> None:
    other = "https://cdn.sentifyd.io/element/bot.js"
    built = build({"index.md": f'# Home\n\n<script src="{other}" defer></script>\n'})

    page = built.page("index.html")
    assert len(page.loaders(other)) == 1
    assert page.loaders() == []


def test_two_elements_on_a_page_are_reported(build: BuildSite) -> None:
    twice = "<sentifyd-bot></sentifyd-bot>\n\n<sentifyd-bot></sentifyd-bot>\n"
    built = build({"index.md": f"# Home\n\n{twice}"})

    assert built.status == 1
    assert "sentifyd: index.md: has 2 <sentifyd-bot>, and only the first" in built.output


def test_other_documented_loader_can_be_configured(build: BuildSite) -> None:
    other = "https://cdn.sentifyd.io/element/bot.js"
    page = build({"index.md": "# Home\n"}, {"loader": {"url": other}}).page("index.html")

    assert [tag.attrs for tag in page.loaders(other)] == [{"src": other, "defer": ""}]
    assert page.loaders() == []


def test_module_loader_with_integrity_is_anonymous(build: BuildSite) -> None:
    digest = "sha384-" + "A" * 64
    built = build({"index.md": "# Home\n"}, {"loader": {"type": "module", "integrity": digest}})

    (loader,) = built.page("index.html").loaders()
    assert loader.attrs == {
        "src": LOADER,
        "type": "module",
        "integrity": digest,
        "crossorigin": "anonymous",
    }


def test_configured_crossorigin_mode_is_kept(build: BuildSite) -> None:
    digests = f"sha256-{'A' * 43}= sha512-{'B' * 86}=="
    options = {"integrity": digests, "crossorigin": "use-credentials"}
    (loader,) = build({"index.md": "# Home\n"}, {"loader": options}).page("index.html").loaders()

    assert loader.attrs == {
        "src": LOADER,
        "defer": "",
        "integrity": digests,
        "crossorigin": "use-credentials",
    }


def test_custom_loader_is_not_repeated(build: BuildSite) -> None:
    own = "https://static.example.com/avatar.js"
    page = build(
        {"index.md": f'# Home\n\n<script src="{own}"></script>\n'}, {"loader": {"url": own}}
    ).page("index.html")

    assert len(page.loaders(own)) == 1


def test_tags_are_inserted_after_other_plugins_ran(build: BuildSite, tmp_path: Path) -> None:
    """Plugins that rewrite whole pages do not see or change the tags."""
    (tmp_path / "hook.py").write_text(
        "from mkdocs.plugins import event_priority\n"
        "@event_priority(-50)\n"
        "def on_post_page(output, **_):\n"
        "    return output.replace('</body>', f'<i>{output.count(\"sentifyd\")}</i></body>')\n"
        "@event_priority(-50)\n"
        "def on_post_template(output_content, **_):\n"
        "    return on_post_page(output_content)\n"
    )
    built = build({"index.md": "# Home\n"}, hooks=["hook.py"], theme="material")

    for path in ("index.html", "404.html"):
        built.page(path).assert_avatar()
        assert "<i>0</i>" in built.page(path).html


def test_pages_that_mkdocs_skips_stay_skipped(build: BuildSite, tmp_path: Path) -> None:
    (tmp_path / "hook.py").write_text(
        "def on_post_page(output, page, **_):\n"
        "    return '' if page.file.src_uri == 'gone.md' else output\n"
    )
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom" / "404.html").write_text(" \n")
    built = build(
        {"index.md": "# Home\n", "gone.md": "# Gone\n"},
        hooks=["hook.py"],
        theme={"name": "mkdocs", "custom_dir": "custom"},
    )

    assert built.status == 0, built.output
    assert not (built.site / "gone" / "index.html").exists()
    assert not (built.site / "404.html").exists()


def test_extra_templates_are_unchanged(build: BuildSite) -> None:
    page = "<html><head></head><body></body></html>"
    built = build(
        {"index.md": "# Home\n", "extra.html": page, "feed.xml": page},
        extra_templates=["extra.html", "feed.xml"],
    )

    assert (built.site / "extra.html").read_text() == page
    assert (built.site / "feed.xml").read_text() == page


def test_build_logs_how_many_pages_have_an_avatar(build: BuildSite) -> None:
    pages = {"index.md": "# Home\n", "a.md": "# A\n"}

    assert "sentifyd: 3 pages have an avatar" in build(pages).output
    assert "sentifyd: 1 page has an avatar" in build(pages, {"include": []}).output


def test_key_on_an_element_fails_a_strict_build(
    build: BuildSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_API_KEY", "canary-77aa")
    for attribute in ('api-key="anything"', 'title="canary-77aa"'):
        built = build({"index.md": f"# Home\n\n<sentifyd-bot {attribute}></sentifyd-bot>\n"})
        assert built.status == 1
        assert (
            "index.md: its <sentifyd-bot> has an attribute that looks like the API key"
            in built.output
        )
        assert "canary" not in built.output


def test_values_are_escaped(build: BuildSite) -> None:
    avatar, endpoint = '"><script>alert(1)</script>', "https://t.example/r?a=1&b='2'"
    page = build({"index.md": "# Home\n"}, {"avatar_id": avatar, "token_endpoint": endpoint}).page(
        "index.html"
    )

    (element,) = page.elements()
    assert element.attrs == {"avatar_id": avatar, "token_endpoint": endpoint}
    assert "<script>alert" not in page.html


def test_numeric_avatar_id_is_accepted(build: BuildSite) -> None:
    (element,) = build({"index.md": "# Home\n"}, {"avatar_id": 42}).page("index.html").elements()

    assert element["avatar_id"] == "42"


def test_page_that_is_written_again_is_counted_once(build: BuildSite, tmp_path: Path) -> None:
    """static-i18n builds every language into one site, each with its own 404.html."""
    (tmp_path / "hook.py").write_text(
        "from mkdocs.commands.build import build\n"
        "from mkdocs.plugins import event_priority\n"
        "builds = []\n"
        "@event_priority(-100)\n"
        "def on_post_build(config):\n"
        "    builds.append(config)\n"
        "    if len(builds) == 1:\n"
        "        build(config, dirty=True)\n"
    )
    built = build({"index.md": "# Home\n"}, {"include": []}, strict=False, hooks=["hook.py"])

    assert "sentifyd: 1 page has an avatar" in built.output
