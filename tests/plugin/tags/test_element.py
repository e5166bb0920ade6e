"""Test how each option changes element and loader, on pages of real strict builds."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
import yaml

from mkdocs_sentifyd.cli import main
from tests.support.sites import ENDPOINT, LOADER, OPTIONS, BuildSite

PAGES = {"index.md": "# Home\n", "guide/a.md": "# A\n", "guide/b.md": "# B\n"}
CREDENTIALS = {"token_endpoint": ENDPOINT, "avatar_id": "avtr_1234abcd"}
REALTIME = "https://frontend.sentifyd.io/sentifyd-realtime/v1/main.js"
# The realtime component does not follow a display attribute that is removed.
DISPLAY = {"toggler": "true", "compact": "false", "overlay": "false"}
KEBAB = {"token-endpoint": ENDPOINT, "avatar-id": "avtr_1234abcd", **DISPLAY}


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ({}, {}),
        ({"display": None, "captions": None, "barge_in": None, "brand": None}, {}),
        ({"display": "toggler"}, {"toggler": "true"}),
        ({"display": "embedded"}, {"toggler": "false"}),
        ({"display": "compact"}, {"toggler": "false", "compact": "true"}),
        ({"captions": True}, {"enable-captions": "true"}),
        ({"captions": False, "barge_in": True}, {"enable-captions": "false", "barge-in": "true"}),
        ({"ui_language": "en"}, {"ui-language": "en"}),
        ({"ui_language": "de-CH"}, {"ui-language": "de"}),
        ({"ui_language": "zh_Hant_TW"}, {"ui-language": "zh"}),
        (
            {
                "brand": {
                    "name": 'Ümlaut & "Söhne"',
                    "logo": "https://cdn.example/l.svg?a=1&b=2",
                    "terms_url": "/terms#top",
                    "privacy_url": "https://a.example/privacy#b",
                }
            },
            {
                "brand-name": 'Ümlaut & "Söhne"',
                "brand-logo": "https://cdn.example/l.svg?a=1&b=2",
                "terms-href": "/terms#top",
                "privacy-href": "https://a.example/privacy#b",
            },
        ),
        (
            {
                "appearance": {
                    "background": "linear-gradient(160deg, #fff, 30%, rgb(0 0 0 / 50%))",
                    "corner_radius": 0,
                    "canvas_width": "320px",
                    "canvas_height": "240",
                    "widget_height": 600,
                }
            },
            {
                "avatar-background": "linear-gradient(160deg, #fff, 30%, rgb(0 0 0 / 50%))",
                "corner-radius": "0",
                "canvas-width": "320",
                "canvas-height": "240",
                "chatbot-height": "600",
            },
        ),
        (
            {
                "appearance": {
                    "background": "Teal",
                    "primary_color": "#00bfdb",
                    "secondary_color": "var(--md-accent-fg-color, #801bea)",
                    "text_on_primary": "color-mix(in oklch, black 80%, white)",
                    "text_on_secondary": "oklch(from white l c h / 90%)",
                }
            },
            {
                "avatar-background": "Teal",
                "style": "--primary-color: #00bfdb; "
                "--secondary-color: var(--md-accent-fg-color, #801bea); "
                "--text-color-primary-bg: color-mix(in oklch, black 80%, white); "
                "--text-color-secondary-bg: oklch(from white l c h / 90%)",
            },
        ),
        (
            {"attributes": {"terms-accepted": True, "Data-X": 3, "title": "a b", "id": None}},
            {"terms-accepted": "true", "data-x": "3", "title": "a b"},
        ),
    ],
)
def test_options_become_attributes(
    build: BuildSite, options: dict[str, Any], attributes: dict[str, str]
) -> None:
    built = build(PAGES, options)

    assert built.status == 0, built.output
    for path in ("index.html", "guide/a/index.html", "404.html"):
        page = built.page(path)
        assert page.element() == {**CREDENTIALS, **attributes}
        assert [tag.attrs for tag in page.loaders()] == [{"src": LOADER, "defer": ""}]


def test_realtime_component_has_its_own_loader_and_spelling(build: BuildSite) -> None:
    page = build(PAGES, {"component": "realtime"}).page("index.html")

    assert page.element("sentifyd-realtime") == KEBAB
    assert [tag.attrs for tag in page.loaders(REALTIME)] == [{"src": REALTIME, "type": "module"}]
    assert page.loaders() == []
    assert page.elements() == []


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"attribute_names": "kebab"}, ["token-endpoint", "avatar-id"]),
        ({"attribute_names": "documented"}, ["token_endpoint", "avatar_id"]),
        (
            {"component": "realtime", "attribute_names": "documented"},
            ["token_endpoint", "avatar_id", *DISPLAY],
        ),
    ],
)
def test_spelling_of_attribute_names_can_be_chosen(
    build: BuildSite, options: dict[str, Any], names: list[str]
) -> None:
    page = build(PAGES, options).page("index.html")

    assert list(page.element(f"sentifyd-{options.get('component', 'bot')}")) == names


@pytest.mark.parametrize(
    ("display", "look", "toggler", "style"),
    [
        ("overlay", {}, "false", "display: block; width: 360px; max-width: 100%; height: 480px"),
        (
            "overlay-toggler",
            {"canvas_width": 200, "canvas_height": 300, "primary_color": "teal"},
            "true",
            # It floats, and has a size of its own.
            "--primary-color: teal",
        ),
        (
            "overlay",
            {"canvas_width": 200, "canvas_height": 300},
            "false",
            "display: block; width: 200px; max-width: 100%; height: 300px",
        ),
    ],
)
def test_only_an_overlay_in_the_text_gets_a_size(
    build: BuildSite, display: str, look: dict[str, Any], toggler: str, style: str
) -> None:
    options = {"component": "realtime", "display": display, "appearance": look}
    element = build(PAGES, options).page("index.html").element("sentifyd-realtime")

    assert element["style"] == style
    assert (element["overlay"], element["toggler"]) == ("true", toggler)


def test_custom_realtime_loader_is_a_module(build: BuildSite) -> None:
    own = "https://static.example.com/avatar.js"
    options = {"component": "realtime", "loader": {"url": own}}
    page = build(PAGES, options).page("index.html")

    assert [tag.attrs for tag in page.loaders(own)] == [{"src": own, "type": "module"}]


@pytest.mark.parametrize(
    ("theme", "language"),
    [
        ({"name": "mkdocs", "locale": "de"}, "de"),
        ({"name": "mkdocs", "locale": "pt_BR"}, None),
        ({"name": "mkdocs"}, None),
        ({"name": "readthedocs", "locale": "zh_TW"}, "zh"),
        ({"name": "material", "language": "fr"}, "fr"),
        ({"name": "material", "language": "zh-Hant"}, "zh"),
        ({"name": "material", "language": "en"}, None),
        ({"name": "material", "language": "nl"}, None),
    ],
)
def test_ui_language_follows_the_theme(
    build: BuildSite, theme: dict[str, str], language: str | None
) -> None:
    built = build(PAGES, theme=theme)

    assert built.status == 0, built.output
    for path in ("index.html", "404.html"):
        assert built.page(path).element().get("ui-language") == language
    fixed = build(PAGES, {"ui_language": "es"}, theme=theme)
    assert fixed.page("index.html").element()["ui-language"] == "es"


@pytest.mark.parametrize("directory_urls", [True, False])
def test_site_addresses_are_correct_at_every_depth(build: BuildSite, directory_urls: bool) -> None:
    pages = {**PAGES, "guide/deep/c.md": "# C\n"}
    options = {"brand": {"logo": "assets/logo.svg", "terms_url": "https://a.example/"}}
    built = build(
        pages,
        options,
        use_directory_urls=directory_urls,
        site_url="https://docs.example.com/product/",
        theme="readthedocs",
    )

    logo = built.site / "assets" / "logo.svg"
    for path in built.site.rglob("*.html"):
        element = built.page(path.relative_to(built.site).as_posix()).element()
        assert element["terms-href"] == "https://a.example/"
        if path.name == "404.html":
            assert element["brand-logo"] == "/product/assets/logo.svg"
        else:
            assert (path.parent / element["brand-logo"]).resolve() == logo


def test_later_overrides_extend_earlier_ones(build: BuildSite) -> None:
    options = {
        "captions": True,
        "appearance": {"primary_color": "teal", "corner_radius": 4},
        "overrides": [
            {"match": ["guide/", "404.html"], "display": "embedded", "brand": {"name": "Guide"}},
            {"match": "*\n!index.md\n!a.md\n", "appearance": {"primary_color": "navy"}},
            {"match": "/guide/b.md", "captions": None, "display": "compact"},
        ],
    }
    built = build({**PAGES, "c.md": "# C\n"}, options)

    assert built.status == 0, built.output
    base = {**CREDENTIALS, "corner-radius": "4"}
    teal, navy = ({"style": f"--primary-color: {name}"} for name in ("teal", "navy"))
    assert {path: built.page(path).element() for path in ELEMENTS} == {
        "index.html": {**base, **teal, "enable-captions": "true"},
        "c/index.html": {**base, **navy, "enable-captions": "true"},
        "guide/a/index.html": {
            **base,
            **teal,
            "enable-captions": "true",
            "toggler": "false",
            "brand-name": "Guide",
        },
        "guide/b/index.html": {
            **base,
            **navy,
            "toggler": "false",
            "compact": "true",
            "brand-name": "Guide",
        },
        "404.html": {
            **base,
            **navy,
            "enable-captions": "true",
            "toggler": "false",
            "brand-name": "Guide",
        },
    }


ELEMENTS = ["index.html", "c/index.html", "guide/a/index.html", "guide/b/index.html", "404.html"]


def test_each_section_can_have_its_own_avatar(build: BuildSite) -> None:
    other = "https://tokens.example.com/request_tokens/guide"
    options = {
        "overrides": [
            {"match": "guide/", "avatar_id": "avtr_guide", "token_endpoint": other},
            {"match": "guide/b.md", "component": "realtime"},
        ]
    }
    built = build(PAGES, options)

    assert built.page("index.html").element() == CREDENTIALS
    guide = {"token_endpoint": other, "avatar_id": "avtr_guide"}
    assert built.page("guide/a/index.html").element() == guide
    realtime = built.page("guide/b/index.html")
    assert realtime.element("sentifyd-realtime") == {
        **{name.replace("_", "-"): value for name, value in guide.items()},
        **DISPLAY,
    }
    assert realtime.elements() == []


def test_override_of_the_component_does_not_inherit_the_loader(build: BuildSite) -> None:
    own = "https://static.example.com/bot.js"
    options = {
        "loader": {"url": own},
        "attribute_names": "documented",
        "overrides": [{"match": "guide/", "component": "realtime"}],
    }
    page = build(PAGES, options).page("guide/a/index.html")

    assert len(page.loaders(REALTIME)) == 1
    assert page.loaders(own) == []
    assert page.element("sentifyd-realtime") == KEBAB


def test_front_matter_options_win_over_overrides_but_not_exclude(
    build: BuildSite,
) -> None:
    front = "---\nsentifyd:\n  captions: false\n  brand: {name: Page}\n---\n"
    pages = {**PAGES, "guide/a.md": f"{front}# A\n", "private.md": f"{front}# Private\n"}
    options = {
        "exclude": ["private.md"],
        "overrides": [{"match": "guide/", "captions": True, "brand": {"terms_url": "/t"}}],
    }
    built = build(pages, options)

    assert built.status == 0, built.output
    assert built.page("guide/a/index.html").element() == {
        **CREDENTIALS,
        "enable-captions": "false",
        "brand-name": "Page",
        "terms-href": "/t",
    }
    built.page("private/index.html").assert_no_avatar()


def test_material_meta_files_count_as_front_matter(build: BuildSite) -> None:
    pages = {
        **PAGES,
        "guide/.meta.yml": "sentifyd:\n  captions: true\n",
        "guide/b.md": "---\nsentifyd: {barge_in: true}\n---\n# B\n",
        "off/.meta.yml": "sentifyd: false\n",
        "off/c.md": "# C\n",
    }
    built = build(pages, theme="material", plugins=["meta", {"sentifyd": OPTIONS}])

    assert built.status == 0, built.output
    captions = {**CREDENTIALS, "enable-captions": "true"}
    assert built.page("guide/a/index.html").element() == captions
    assert built.page("guide/b/index.html").element() == {**captions, "barge-in": "true"}
    built.page("off/c/index.html").assert_no_avatar()
    assert built.page("index.html").element() == CREDENTIALS


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("{captoins: true}", "option 'captoins': no such option: did you mean captions?"),
        ("{brand: {nmae: x}}", "option 'brand.nmae': no such option: did you mean"),
        ("{display: overlay}", "option 'display': overlay is for component: realtime only"),
        ("{exclude: [a]}", "option 'exclude': not an option of a page"),
        ("[captions]", "must be true, false or a mapping of options"),
        ("{api_key: canary-1}", "'api_key': this looks like the API key"),
        ("{token_endpoint: 'http://a.example/canary-1'}", "option 'token_endpoint': must be https"),
    ],
)
@pytest.mark.parametrize("file", ["guide/b.md", "guide/.meta.yml"])
def test_mistake_in_front_matter_is_reported_with_the_page(
    build: BuildSite, front: str, expected: str, file: str
) -> None:
    if file == "guide/b.md":
        pages = {**PAGES, file: f"---\nsentifyd: {front}\n---\n# B\n"}
    else:
        pages = {**PAGES, file: f"sentifyd: {front}\n"}
    built = build(pages, theme="material", plugins=["meta", {"sentifyd": OPTIONS}])

    assert built.status == 1
    (line,) = [line for line in built.output.splitlines() if "guide/b.md" in line]
    assert line.startswith("WARNING")
    assert expected in line
    assert "canary" not in built.output
    built.page("guide/b/index.html").assert_no_avatar()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"exclude": ["guide/", "gudie/"]}, "exclude: 'gudie/' matches no page"),
        ({"include": "*\n# a comment\n\n!privat.md\n"}, "include: '!privat.md' matches no page"),
        (
            {"overrides": [{"match": "guide/"}, {"match": ["index.md", "/a.md"]}]},
            "overrides, entry 2: '/a.md' matches no page",
        ),
    ],
)
def test_pattern_without_a_matching_page_fails_a_strict_build(
    build: BuildSite, options: dict[str, Any], expected: str
) -> None:
    built = build(PAGES, options)

    assert built.status == 1
    assert [line for line in built.output.splitlines() if "matches no page" in line] == [
        f"WARNING -  sentifyd: {expected}"
    ]


def test_patterns_may_match_drafts_and_excluded_pages(build: BuildSite) -> None:
    pages = {**PAGES, "drafts/d.md": "# D\n", "theirs/e.md": "# E\n"}
    options = {"exclude": ["drafts/", "theirs/"]}
    built = build(pages, options, draft_docs="drafts/", exclude_docs="theirs/")

    assert built.status == 0, built.output


def test_public_key_replaces_the_endpoint_with_a_warning(build: BuildSite) -> None:
    options = {**OPTIONS, "public_api_key": "pk_canary_1234567890"}
    del options["token_endpoint"]
    plugins = ["search", {"sentifyd": options}]
    built = build(PAGES, plugins=plugins, strict=False)

    assert built.status == 0, built.output
    assert "EVERY READER OF THE SITE GETS THIS KEY" in built.output
    assert "canary" not in built.output
    element = built.page("index.html").element()
    assert element == {"avatar_id": "avtr_1234abcd", "api-key": "pk_canary_1234567890"}
    assert build(PAGES, plugins=plugins).status == 1


def test_override_of_the_avatar_does_not_inherit_the_public_key(build: BuildSite) -> None:
    options = {**OPTIONS, "public_api_key": "pk_canary_1234567890"}
    del options["token_endpoint"]
    guide = {"match": "guide/", "avatar_id": "avtr_guide", "token_endpoint": ENDPOINT}
    built = build(PAGES, plugins=[{"sentifyd": {**options, "overrides": [guide]}}], strict=False)

    element = built.page("guide/a/index.html").element()
    assert element == {"token_endpoint": ENDPOINT, "avatar_id": "avtr_guide"}

    del guide["token_endpoint"]
    built = build(PAGES, plugins=[{"sentifyd": {**options, "overrides": [guide]}}], strict=False)
    assert built.status == 1
    assert "entry 1: option 'token_endpoint': missing" in built.output


def test_page_may_have_a_public_key_instead_of_the_endpoint(build: BuildSite) -> None:
    override = {"match": "guide/", "avatar_id": "avtr_2", "public_api_key": "pk_canary_1234567890"}
    built = build(PAGES, {"overrides": [override]}, strict=False)

    assert "EVERY READER" in built.output
    element = built.page("guide/a/index.html").element()
    assert element == {"avatar_id": "avtr_2", "api-key": "pk_canary_1234567890"}
    assert built.page("index.html").element() == CREDENTIALS


@pytest.mark.parametrize("group", ["loader", "brand", "appearance"])
def test_typo_in_a_group_gives_one_warning_and_keeps_avatars(build: BuildSite, group: str) -> None:
    overrides = [{"match": "guide/", "captions": True}]
    options = {group: {"tpye": "x"}, "overrides": overrides}
    built = build(PAGES, options, strict=False)

    assert built.status == 0, built.output
    assert built.output.count("WARNING") == 1
    assert f"option '{group}.tpye': no such option" in built.output
    for path in ("index.html", "guide/a/index.html", "404.html"):
        assert built.page(path).elements()
    assert build(PAGES, options).status == 1


@pytest.mark.parametrize("front", ["", "---\nsentifyd: true\n---\n"])
def test_contradicting_overrides_are_reported(build: BuildSite, front: str) -> None:
    """Each is valid alone, but the second removes the site's key, and the third the endpoint."""
    pages = {**PAGES, "guide/b.md": f"{front}# B\n"}
    both = ["guide/b.md", "404.html"]
    overrides = [
        {"match": "guide/", "captions": True},
        {"match": both, "avatar_id": "other", "token_endpoint": ENDPOINT},
        {"match": both, "token_endpoint": None},
    ]
    options = {"avatar_id": "avtr_1", "public_api_key": "pk_canary_123456", "overrides": overrides}
    built = build(pages, plugins=[{"sentifyd": options}], strict=False)

    assert built.status == 0, built.output
    for name, entries in (("guide/b.md", "1 and 2 and 3"), ("404.html", "2 and 3")):
        (line,) = [line for line in built.output.splitlines() if f"{name}: " in line]
        assert f"overrides, entries {entries} together: option 'token_endpoint': missing" in line
    assert "front matter" not in built.output
    built.page("guide/b/index.html").assert_no_avatar()
    assert built.page("guide/a/index.html").elements()


def test_override_of_the_component_does_not_inherit_the_overlay(build: BuildSite) -> None:
    overrides = [
        {"match": "guide/", "component": "realtime", "display": "overlay"},
        {"match": "guide/b.md", "component": "bot"},
    ]
    built = build(PAGES, {"overrides": overrides})

    assert built.status == 0, built.output
    assert built.page("guide/b/index.html").element() == CREDENTIALS


def test_override_with_equal_values_keeps_the_loader(build: BuildSite) -> None:
    own = "https://static.example.com/bot.js"
    options = {
        "avatar_id": 123,
        "loader": {"url": own},
        "overrides": [{"match": "guide/", "component": "bot", "avatar_id": "123"}],
    }
    page = build(PAGES, options).page("guide/a/index.html")

    assert len(page.loaders(own)) == 1
    assert page.element() == {**CREDENTIALS, "avatar_id": "123"}


@pytest.mark.parametrize(
    ("folder", "page", "attributes"),
    [
        ("{captions: true}", "false", None),
        ("{captions: true}", "true", CREDENTIALS),
        ("false", "{captions: true}", {**CREDENTIALS, "enable-captions": "true"}),
        ("{captions: true}", "", {**CREDENTIALS, "enable-captions": "true"}),
        (
            "{brand: {name: Folder}, attributes: {data-a: 1}}",
            "{brand: {terms_url: /t}, attributes: {data-b: 2}}",
            {
                **CREDENTIALS,
                "brand-name": "Folder",
                "terms-href": "/t",
                "data-a": "1",
                "data-b": "2",
            },
        ),
    ],
)
def test_page_wins_over_its_folder_in_plugin_and_inject(
    build: BuildSite,
    tmp_path: Path,
    folder: str,
    page: str,
    attributes: dict[str, str] | None,
) -> None:
    pages = {
        "index.md": "# Home\n",
        "a/.meta.yml": f"sentifyd: {folder}\n",
        "a/page.md": f"---\nsentifyd: {page}\n---\n# Page\n",
    }
    plugins = ["meta", {"sentifyd": OPTIONS}]
    built = build(pages, theme="material", plugins=plugins)
    assert built.status == 0, built.output
    built_by_plugin = built.page("a/page/index.html")

    # Material's plugin would fail where the types differ, and is not needed for the pages.
    site = build(pages, theme="material", plugins=["search"]).site
    config = tmp_path / "inject.yml"
    config.write_text(yaml.safe_dump({"plugins": plugins}))
    assert main(["inject", str(site), "--config-file", str(config)]) == 0

    for result in (built_by_plugin, built.page("a/page/index.html")):
        if attributes is None:
            result.assert_no_avatar()
        else:
            assert result.element() == attributes


HOOKS = {
    "off": ("page.meta['sentifyd'] = False", None),
    "removed": ("page.meta.pop('sentifyd', None)", CREDENTIALS),
    "changed": (
        "page.meta.setdefault('sentifyd', {})['display'] = 'embedded'",
        {**CREDENTIALS, "toggler": "false"},
    ),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_may_change_a_pages_options(build: BuildSite, tmp_path: Path, hook: str) -> None:
    code, attributes = HOOKS[hook]
    (tmp_path / "hook.py").write_text(f"def on_page_markdown(markdown, page, **_):\n    {code}\n")
    pages = {"index.md": "---\nsentifyd: {display: compact}\n---\n# Home\n"}
    built = build(pages, hooks=["hook.py"])

    page = built.page("index.html")
    if attributes is None:
        page.assert_no_avatar()
    else:
        assert page.element() == attributes


def test_folder_and_page_options_extend_those_of_the_site(build: BuildSite) -> None:
    own = "https://cdn.example/realtime.js"
    pages = {
        "index.md": "# Home\n",
        "f/.meta.yml": f"sentifyd: {{display: overlay, loader: {{url: '{own}'}}}}\n",
        "f/same.md": "---\nsentifyd: {component: realtime}\n---\n# Same\n",
        "f/bot.md": "---\nsentifyd: {component: bot}\n---\n# Bot\n",
    }
    options = {**OPTIONS, "component": "realtime"}
    built = build(pages, theme="material", plugins=["meta", {"sentifyd": options}])

    assert built.status == 0, built.output
    same = built.page("f/same/index.html")
    assert same.element("sentifyd-realtime")["overlay"] == "true"
    assert len(same.loaders(own)) == 1
    bot = built.page("f/bot/index.html")
    assert bot.element() == CREDENTIALS
    assert len(bot.loaders()) == 1


UNREADABLE = {
    "yaml": "---\ntitle: Foo: bar\nsentifyd: false\n---\n# B\n",
    "surrogate": '---\nsentifyd: {attributes: {x: "\\ud800"}}\n---\n# B\n',
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_front_matter_that_mkdocs_cannot_read_is_reported(build: BuildSite, kind: str) -> None:
    built = build({**PAGES, "guide/b.md": UNREADABLE[kind]})

    assert built.status == 1
    assert "guide/b.md: its front matter has options for `sentifyd`, but it" in built.output
    assert built.page("guide/b/index.html").elements() == []
    assert built.page("guide/b/index.html").loaders() == []


RULES = {
    "prose": "---\n\nsentifyd is a product.\n\n---\n\n# B\n",
    "sample": "---\n\n# B\n\n```yaml\nsentifyd: false\n```\n\n---\n",
    "after front matter": "---\ntitle: B\n---\n\n---\nsentifyd: false\n\n---\n\n# B\n",
}


@pytest.mark.parametrize("kind", RULES)
def test_text_between_horizontal_rules_is_no_front_matter(build: BuildSite, kind: str) -> None:
    text = RULES[kind]
    built = build({**PAGES, "guide/b.md": text})

    assert built.status == 0, built.output
    assert built.page("guide/b/index.html").elements()


def test_authors_element_gets_missing_attributes(build: BuildSite) -> None:
    options = {
        "display": "compact",
        "captions": True,
        "appearance": {"primary_color": "teal"},
        "attributes": {"data-a": "ours"},
    }
    mine = '<sentifyd-bot toggler="true" style="color: red" data-a="mine"></sentifyd-bot>'
    built = build({"index.md": f"# Home\n\n<div>{mine}</div>\n"}, options)

    assert built.page("index.html").element() == {
        **CREDENTIALS,
        "compact": "true",
        "enable-captions": "true",
        "toggler": "true",
        "style": "color: red",
        "data-a": "mine",
    }


def test_element_of_the_other_component_is_reported_and_unchanged(build: BuildSite) -> None:
    mine = "<sentifyd-realtime></sentifyd-realtime>"
    pages = {
        **PAGES,
        "guide/a.md": f"# A\n\n{mine}\n",
        "guide/b.md": f"---\nsentifyd: {{component: realtime}}\n---\n# B\n\n{mine}\n",
    }
    built = build(pages)

    assert built.status == 1
    assert "guide/a.md: has a <sentifyd-realtime>, but its component is bot" in built.output
    page = built.page("guide/a/index.html")
    assert page.elements() == []
    assert page.loaders() == []
    assert page.element("sentifyd-realtime") == {}
    assert built.page("guide/b/index.html").element("sentifyd-realtime") == KEBAB


@pytest.mark.parametrize("variable", ["AVATAR_API_KEY", "AVATAR_API_KEY_FILE"])
def test_build_fails_if_the_site_contains_the_key(
    build: BuildSite,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
) -> None:
    key = "canary-77aa/b"
    (tmp_path / "docs" / "canary-77aa" / "b").mkdir(parents=True)
    (tmp_path / "docs" / "canary-77aa" / "b" / "page.txt").write_text("x")
    (tmp_path / "docs" / "wide.txt").write_bytes(key.encode("utf-16"))
    (tmp_path / "docs" / "packed.gz").write_bytes(gzip.compress(key.encode()))
    (tmp_path / "docs" / "not-packed.gz").write_bytes(b"no gzip")
    (tmp_path / "docs" / "large.bin").write_bytes(b"x" * ((1 << 20) - 5) + key.encode())
    pages = {
        "index.md": "# Home\n",
        "plain.md": f"# Plain\n\n{key}\n",
        "script.js": "k = 'canary-77aa%2Fb'",
        f"{variable}.txt": key,
    }
    (tmp_path / "key").write_text(f"{key}\n")
    wanted = [
        # MkDocs reports the same error only once in a process, so each variable has an extra file.
        *(
            f"{variable}.txt",
            "***/page.txt",
            "large.bin",
            "packed.gz",
            "plain/index.html",
            "script.js",
        ),
        *("search/search_index.json", "wide.txt"),
    ]

    monkeypatch.setenv(variable, str(tmp_path / "key") if variable.endswith("_FILE") else key)

    built = build(pages, strict=False)

    assert built.status == 1
    assert f"the API key is in {', '.join(wanted)}, and every reader" in built.output
    assert "canary" not in built.output
    assert "Traceback" not in built.output


LATE_LEAK = """\
from pathlib import Path
from mkdocs.plugins import event_priority

@event_priority(-100)
def on_post_build(config):
    Path(config.site_dir, "late.txt").write_text("canary-77aa")
"""


def test_files_that_other_plugins_write_last_are_searched(
    build: BuildSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_API_KEY", "canary-77aa")
    (tmp_path / "hook.py").write_text(LATE_LEAK)

    built = build(PAGES, hooks=["hook.py"])

    assert built.status == 1
    assert "the API key is in late.txt" in built.output


ANOTHER_LANGUAGE = """\
from mkdocs.commands.build import build
from mkdocs.localization import parse_locale
from mkdocs.plugins import event_priority

is_nested = False

@event_priority(-100)
def on_post_build(config):
    global is_nested
    if not is_nested:
        is_nested = True
        config.docs_dir, config.site_dir = f"{config.docs_dir}-de", f"{config.site_dir}/de"
        config.theme["locale"] = parse_locale("de")
        build(config)
"""


def test_nested_build_counts_as_part_of_the_outer_build(build: BuildSite, tmp_path: Path) -> None:
    """static-i18n builds a site in other languages like this."""
    (tmp_path / "hook.py").write_text(ANOTHER_LANGUAGE)
    (tmp_path / "docs-de").mkdir()
    (tmp_path / "docs-de" / "index.md").write_text("# Start\n")
    (tmp_path / "docs-de" / "nur.md").write_text("# Nur hier\n")
    options = {"exclude": ["nur.md", "guide/"]}

    built = build(PAGES, options, hooks=["hook.py"], theme="mkdocs")

    assert built.status == 0, built.output
    lines = [line for line in built.output.splitlines() if "have an avatar" in line]
    assert lines == ["INFO    -  sentifyd: 4 pages have an avatar"]
    assert built.page("de/index.html").element()["ui-language"] == "de"
    built.page("de/nur/index.html").assert_no_avatar()


def test_site_without_the_key_is_built(build: BuildSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATAR_API_KEY", "canary-77aa")

    assert build(PAGES).status == 0
