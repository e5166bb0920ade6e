"""Test with other plugins, each in its own site, so that a failure names the plugin."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.matrix.sites import INLINE, OFF, Site
from tests.support.sites import ENDPOINT, LOADER, OPTIONS, Page


def test_plugin_warning_fails_a_strict_build(site: Site) -> None:
    site.write({"docs/index.md": "---\nsentifyd: perhaps\n---\n\n# Home\n"})
    site.configure()

    status, output = site.try_build("--strict")

    assert status == 1
    assert "WARNING -  sentifyd: index.md: " in output


MINIFY = {
    "minify": {
        "minify_html": True,
        "htmlmin_opts": {
            "remove_optional_attribute_quotes": True,
            "remove_comments": True,
            "remove_all_empty_space": True,
            "reduce_boolean_attributes": True,
        },
    }
}


def test_authors_element_is_completed_after_minify_removes_quotes(site: Site) -> None:
    own = {"avatar-id": "mine", "terms-href": "https://example.com/", "toggler": "false"}
    quoted = " ".join(f'{name}="{value}"' for name, value in own.items())
    bare = " ".join(f"{name}={value}" for name, value in own.items())
    site.write(
        {
            "docs/index.md": "# Home\n\nText.\n",
            "docs/inline.md": f"# Inline\n\n<sentifyd-bot {quoted}></sentifyd-bot>\n",
            "docs/off.md": f"{OFF}# Off\n",
        }
    )
    site.configure([MINIFY])

    site.build()

    assert "<meta charset=utf-8>" in site.page("index.html").html
    assert f"{bare}></sentifyd-bot>" in site.page("inline/index.html").html
    attributes = {"token_endpoint": ENDPOINT, **own}
    assert site.pages_with_avatar({"inline/index.html": attributes}) == {
        *("index.html", "inline/index.html", "404.html")
    }


def test_authors_loader_is_found_after_minify_removes_quotes(site: Site) -> None:
    site.write({"docs/index.md": f'# Home\n\n<script src="{LOADER}" defer></script>\n'})
    site.configure([MINIFY])

    site.build()

    page = site.page("index.html")
    assert f"<script src={LOADER} defer>" in page.html
    assert len(page.loaders()) == len(page.elements()) == 1


def test_redirect_pages_have_no_avatar(site: Site) -> None:
    site.write({"docs/index.md": "# Home\n", "docs/new.md": "# New\n"})
    redirects = {"old.md": "new.md", "gone.md": "https://example.com/"}
    site.configure([{"redirects": {"redirect_maps": redirects}}])

    site.build()

    assert (site.output / "old" / "index.html").is_file()
    assert (site.output / "gone" / "index.html").is_file()
    with_avatar = {"index.html", "new/index.html", "404.html"}
    assert site.pages_with_avatar() == with_avatar
    site.inject()
    assert site.pages_with_avatar() == with_avatar


def test_awesome_nav_pages_have_avatars(site: Site) -> None:
    site.write(
        {
            "docs/index.md": "# Home\n",
            "docs/guide/a.md": "# A\n",
            "docs/guide/b.md": f"{OFF}# B\n",
            "docs/.nav.yml": "nav:\n  - Start: index.md\n  - guide\n",
            "docs/guide/.nav.yml": "title: The guide\nnav:\n  - b.md\n  - a.md\n",
        }
    )
    site.configure(["awesome-nav"])

    site.build()

    text = site.page("index.html").soup.get_text()
    assert text.index("The guide") < text.index("B") < text.rindex("A")
    assert site.pages_with_avatar() == {"index.html", "guide/a/index.html", "404.html"}


def test_meta_plugin_disables_the_avatar_of_a_folder(site: Site) -> None:
    site.write(
        {
            "docs/index.md": "# Home\n",
            "docs/quiet/.meta.yml": "sentifyd: false\n",
            "docs/quiet/a.md": "# A\n",
            "docs/quiet/deep/b.md": "# B\n",
            "docs/quiet/loud.md": "---\nsentifyd: true\n---\n\n# Loud\n",
        }
    )
    site.configure(["meta"])

    site.build()

    assert site.pages_with_avatar() == {"index.html", "quiet/loud/index.html", "404.html"}


def test_tags_list_pages_with_and_without_avatar(site: Site) -> None:
    site.write(
        {
            "docs/index.md": "---\ntags: [one]\n---\n\n# Home\n",
            "docs/off.md": "---\ntags: [one, two]\nsentifyd: false\n---\n\n# Off\n",
            "docs/tags.md": "# Tags\n\n<!-- material/tags -->\n",
        }
    )
    site.configure(["tags"])

    site.build()

    assert "tag:two" in site.page("tags/index.html").html
    assert site.pages_with_avatar() == {"index.html", "tags/index.html", "404.html"}


def test_search_index_does_not_contain_the_avatar(site: Site) -> None:
    site.write({"docs/index.md": f"# Home\n\n{INLINE}", "docs/a.md": "# A\n\nText.\n"})
    site.configure(["search"])

    site.build()

    index = (site.output / "search" / "search_index.json").read_text(encoding="utf-8")
    assert [entry["location"] for entry in json.loads(index)["docs"]] == ["", "a/"]
    assert "sentifyd" not in index
    assert site.pages_with_avatar() == {"index.html", "a/index.html", "404.html"}


@pytest.mark.parametrize("enabled", [True, False])
def test_offline_build_has_no_avatars(site: Site, enabled: bool) -> None:
    site.write({"docs/index.md": "# Home\n", "docs/a.md": "# A\n", "docs/off.md": f"{OFF}# Off\n"})
    site.configure([{"offline": {"enabled": enabled}}, "search"])

    output = site.build()

    assert (site.output / "search" / "search_index.js").is_file() is enabled
    pages = {"index.html", "a/index.html", "404.html"}
    assert site.pages_with_avatar() == (set() if enabled else pages)
    reason = "no page has an avatar, because the offline plugin builds for file://"
    assert (reason in output) is enabled
    assert (site.output / "assets/sentifyd").exists() is not enabled


def _post(day: int, text: str, meta: str = "") -> str:
    return f"---\ndate: 2026-01-{day:02}\ncategories: [News]\n{meta}---\n\n{text}"


MORE = "\n\n<!-- more -->\n\nRest.\n"
VIEWS = ("blog/", "blog/archive/2026/", "blog/category/news/")


def test_blog_posts_and_list_pages_have_avatars(site: Site) -> None:
    site.write(
        {
            "docs/index.md": "# Home\n",
            "docs/blog/index.md": "# Blog\n",
            "docs/blog/posts/one.md": _post(1, f"# One\n\nText.{MORE}"),
            "docs/blog/posts/two.md": _post(2, f"# Two\n\nText.{MORE}", "sentifyd: false\n"),
        }
    )
    site.configure([{"blog": {"pagination_per_page": 1}}])

    site.build()

    assert site.pages_with_avatar() == {
        "index.html",
        "404.html",
        "blog/2026/01/01/one/index.html",
        *(f"{view}index.html" for view in VIEWS),
        *(f"{view}page/2/index.html" for view in VIEWS),
    }


def test_blog_pages_can_be_excluded(site: Site) -> None:
    site.write(
        {
            "docs/index.md": "# Home\n",
            "docs/blog/index.md": f"{OFF}# Blog\n",
            "docs/blog/posts/one.md": _post(1, f"# One\n\nText.{MORE}"),
            "docs/blog/posts/two.md": _post(2, f"# Two\n\nText.{MORE}"),
        }
    )
    exclude = ["/blog/archive/", "/blog/category/", "/blog/posts/two.md"]
    site.configure([{"blog": {"pagination_per_page": 1}}], {"exclude": exclude})

    site.build()

    assert (site.output / "blog" / "page" / "2" / "index.html").is_file()
    assert site.pages_with_avatar() == {
        "index.html",
        "404.html",
        "blog/2026/01/01/one/index.html",
    }


def test_element_in_a_blog_excerpt_is_completed_in_place(site: Site) -> None:
    site.write(
        {
            "docs/index.md": "# Home\n",
            "docs/blog/index.md": "# Blog\n",
            "docs/blog/posts/one.md": _post(1, f"# One\n\n{INLINE}{MORE}"),
            "docs/blog/posts/two.md": _post(2, f"# Two\n\nText.\n\n<!-- more -->\n\n{INLINE}"),
        }
    )
    site.configure(["blog"])

    site.build()

    posts = {"blog/2026/01/01/one/index.html", "blog/2026/01/02/two/index.html"}
    views = {f"{view}index.html" for view in VIEWS}
    assert site.pages_with_avatar() == {"index.html", "404.html", *posts, *views}
    for path in posts | views:
        (element,) = site.page(path).elements()
        assert "article" in [parent.name for parent in element.parents]


def _languages(structure: str) -> dict[str, object]:
    languages = [
        {"locale": "en", "name": "English", "default": True, "build": True},
        {"locale": "de", "name": "Deutsch", "build": True},
        {"locale": "fr", "name": "Français", "build": True},
    ]
    return {"i18n": {"docs_structure": structure, "languages": languages}}


@pytest.mark.parametrize(
    ("structure", "name", "german"),
    [("folder", "{language}/{page}.md", "/de/a.md"), ("suffix", "{page}.{language}.md", "a.de.md")],
    ids=["folder", "suffix"],
)
def test_every_language_has_one_avatar_per_page(
    site: Site, structure: str, name: str, german: str
) -> None:
    translated = {"en": ("index", "a", "off", "private/p"), "de": ("index", "a", "private/p")}
    site.write(
        {
            f"docs/{name.format(language=language, page=page)}": (
                f"{OFF if page == 'off' else ''}# {page} in {language}\n"
            )
            for language, pages in translated.items()
            for page in pages
        }
    )
    site.configure([_languages(structure), "search"], {"exclude": ["private/", german]})

    site.build()

    # French has no translated page, so its pages are in the default language. 404.html is written
    # for each language, and the last one remains.
    spoken = {
        "404.html": "fr",
        "de/index.html": "de",
        "fr/index.html": "fr",
        "fr/a/index.html": "fr",
    }
    for path, language in spoken.items():
        assert f'lang="{language}"' in site.page(path).html
    attributes = {path: {**OPTIONS, "ui-language": spoken[path]} for path in spoken}
    assert (site.output / "fr" / "private" / "p" / "index.html").is_file()
    assert site.pages_with_avatar(attributes) == {"index.html", "a/index.html", *spoken}


def test_every_mike_version_has_its_own_avatars_and_runtime(site: Site) -> None:
    site.write(
        {"docs/index.md": "# Home\n", "docs/off.md": f"{OFF}# Off\n", ".gitignore": "site/\n"}
    )
    site.configure(
        options={"load": "interaction"}, extra={"version": {"provider": "mike"}}, strict=True
    )
    site.commit()

    config_file = "--config-file=mkdocs.yml"
    site.run("mike", "deploy", "1.0", config_file)
    site.run("mike", "deploy", "2.0", "latest", "--alias-type=redirect", config_file)
    site.run("mike", "set-default", "latest", config_file)

    site.git("worktree", "add", "--quiet", "pages", "gh-pages")
    pages = site.folder / "pages"
    redirects = {"index.html", *(f"latest/{page}" for page in ("index.html", "404.html"))}
    for version in ("1.0", "2.0"):
        site.check(pages / version)
        for name, root in {"index.html": "", "404.html": f"/{version}/"}.items():
            page = Page((pages / version / name).read_text(encoding="utf-8"))
            (core,) = page.soup.select("script[src*='assets/sentifyd']")
            path = str(core["src"])
            assert path.startswith(f"{root}assets/sentifyd/")
            assert (pages / version / path.removeprefix(root)).is_file()
    for name in redirects:
        assert "sentifyd" not in (pages / name).read_text(encoding="utf-8")


GENERATE = """\
import mkdocs_gen_files

for name, options in {"on": "display: normal", "off": "sentifyd: false"}.items():
    with mkdocs_gen_files.open(f"made/{name}.md", "w") as page:
        print(f"---\\n{options}\\n---\\n# {name}", file=page)
"""


def test_generated_pages_follow_their_own_front_matter(site: Site) -> None:
    site.write({"docs/index.md": "# Home\n", "generate.py": GENERATE})
    site.configure([{"gen-files": {"scripts": ["generate.py"]}}])

    site.build()

    with_avatar = {"index.html", "made/on/index.html", "404.html"}
    assert site.pages_with_avatar() == with_avatar
    site.inject()
    assert site.pages_with_avatar() == with_avatar


def test_pages_of_a_monorepo_follow_their_own_front_matter(site: Site) -> None:
    site.write(
        {
            "docs/index.md": "# Home\n",
            "part/mkdocs.yml": "site_name: part\nnav:\n  - On: index.md\n  - Off: off.md\n",
            "part/docs/index.md": "# On\n",
            "part/docs/off.md": f"{OFF}# Off\n",
        }
    )
    nav = [{"Home": "index.md"}, {"Part": "!include ./part/mkdocs.yml"}]
    site.configure(["monorepo"], nav=nav)

    site.build()

    with_avatar = {"index.html", "part/index.html", "404.html"}
    assert site.pages_with_avatar() == with_avatar
    site.inject()
    assert site.pages_with_avatar() == with_avatar


def test_dirty_build_updates_only_changed_pages(site: Site) -> None:
    pages = {"index": "# Home\n", "a": "# A\n", "b": "# B\n", "off": f"{OFF}# Off\n"}
    site.write({f"docs/{name}.md": text for name, text in pages.items()})
    site.configure()
    site.build()
    untouched = site.output / "b" / "index.html"
    before = untouched.stat().st_mtime_ns

    site.write({"docs/a.md": f"{OFF}# A\n", "docs/off.md": "# Off\n", "docs/index.md": "# New\n"})
    later = time.time() + 60
    for name in ("a", "off", "index"):
        os.utime(site.folder / "docs" / f"{name}.md", (later, later))
    # MkDocs itself warns about dirty builds, so a strict one never succeeds.
    status, output = site.try_build("--dirty")

    assert status == 0, output
    assert output.count("WARNING") == 1
    assert untouched.stat().st_mtime_ns == before
    assert "New" in site.page("index.html").soup.get_text()
    assert site.pages_with_avatar() == {
        *("index.html", "b/index.html", "off/index.html", "404.html")
    }
