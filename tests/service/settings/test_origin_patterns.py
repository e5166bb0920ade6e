"""Patterns in `ALLOWED_ORIGINS`: what they may be, and what they match."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from edge_service.settings import Settings
from edge_service.settings.origin_patterns import OriginPattern
from tests.support.settings import KEY

SUFFIXES = PublicSuffixList()
OWN = "https://pr-*.docs.example.co.uk"
NETLIFY = "https://*--docs.netlify.app"
READ_THE_DOCS = "https://docs--*.org.readthedocs.build"


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        ("https://*.preview.example.com", "https://a.preview.example.com"),
        ("https://*.preview.example.com", "https://a--b-9.preview.example.com"),
        ("https://docs-*.example.com", "https://docs-feature-1.example.com"),
        (OWN, "https://pr-12.docs.example.co.uk"),
        ("https://*.example.com:8443", "https://a.example.com:8443"),
        ("https://*.docs.xn--e1afmkfd.xn--p1ai", "https://1.docs.xn--e1afmkfd.xn--p1ai"),
        ("https://*.docs.internal", "https://1.docs.internal"),
        ("https://*.docs.pages.dev", "https://373f31e2.docs.pages.dev"),
        ("https://*-docs.team.workers.dev", "https://1a2b3c4d-docs.team.workers.dev"),
        (NETLIFY, "https://deploy-preview-42--docs.netlify.app"),
        (NETLIFY, "https://my-branch--docs.netlify.app"),
        (
            "https://deploy-preview-*--docs.netlify.app",
            "https://deploy-preview-4--docs.netlify.app",
        ),
        (READ_THE_DOCS, "https://docs--12528.org.readthedocs.build"),
        ("https://my-docs--*.com.readthedocs.build", "https://my-docs--1.com.readthedocs.build"),
        ("https://*.docs.example.com", f"https://{'a' * 61}.docs.example.com"),
    ],
)
def test_preview_matches_its_pattern(pattern: str, origin: str) -> None:
    assert OriginPattern.parse(pattern).matches(origin.encode())


@pytest.mark.parametrize(
    ("pattern", "origins"),
    [
        (
            OWN,
            [
                *("https://pr-.docs.example.co.uk", "https://docs.example.co.uk"),
                *("https://pr-1.b.docs.example.co.uk", "https://pr-1.docs.example.co.uk:8443"),
                *("https://pr-1.docs.example.co.uk.", "https://pr-1.docs.example.co.uk.evil.com"),
                *("https://PR-1.docs.example.co.uk", "https://pr-A.docs.example.co.uk"),
                *("http://pr-1.docs.example.co.uk", "https://pr-1.docs.example.co.uk/"),
                *("https://pr-1.docs.example.co.uk/a", "https://a@pr-1.docs.example.co.uk"),
                *("https://pr-1@evil.com.docs.example.co.uk", "https://pr-1/.docs.example.co.uk"),
                *("https://pr-_.docs.example.co.uk", "https://pr-1-.docs.example.co.uk"),
                *("https://pr-1xdocs.example.co.uk", "https://pr-é.docs.example.co.uk"),
                *("https://pr-1.docs.example.co.uk\n", " https://pr-1.docs.example.co.uk"),
                *("https://pr-*.docs.example.co.uk", "https://pr-%31.docs.example.co.uk"),
                *(f"https://pr-{'a' * 61}.docs.example.co.uk", "https://[::1]", "null", "", "*"),
            ],
        ),
        (
            "https://*.preview.example.com",
            [
                *("https://xn--80ak6aa92e.preview.example.com", "https://.preview.example.com"),
                *("https://-a.preview.example.com", "https://a-.preview.example.com"),
                f"https://{'a' * 62}.preview.example.com",
            ],
        ),
        ("https://x*.docs.example.com", ["https://xn--80ak6aa92e.docs.example.com"]),
        ("https://*.example.com:8443", ["https://a.example.com", "https://a.example.com:84430"]),
        # A suffix below a domain that one owner registered.
        ("https://s*.amazonaws.com", ["https://s3.amazonaws.com"]),
        (
            NETLIFY,
            [
                *("https://docs.netlify.app", "https://a-docs.netlify.app"),
                # The site could be called docs, or b--docs.
                *("https://a--b--docs.netlify.app", "https://a---docs.netlify.app"),
                *("https://a--docs.netlify.com", "https://a--my-docs.netlify.app"),
            ],
        ),
        (
            READ_THE_DOCS,
            [
                *("https://docs--a.org.readthedocs.build", "https://docs--.org.readthedocs.build"),
                # The project is what precedes the last `--`.
                *("https://docs--x--1.org.readthedocs.build", "https://docs.readthedocs.io"),
                "https://docs--1.com.readthedocs.build",
            ],
        ),
    ],
)
def test_other_origins_do_not_match(pattern: str, origins: list[str]) -> None:
    parsed = OriginPattern.parse(pattern)
    assert [origin for origin in origins if parsed.matches(origin.encode())] == []


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        ("http://*.docs.example.com", "write https:// and one *"),
        ("*.docs.example.com", "write https:// and one *"),
        ("https://*.*.example.com", "one * left of the first dot"),
        ("https://**.docs.example.com", "one * left of the first dot"),
        ("https://docs.*.example.com", "one * left of the first dot"),
        ("https://docs.example.*", "one * left of the first dot"),
        ("https://*", "one * left of the first dot"),
        ("https://*.Docs.example.com", "lower case"),
        ("https://*.docs.example.com/", "without a path"),
        ("https://*.docs.example.com/a", "without a path"),
        ("https://*.docs.example.com?a", "without a path"),
        ("https://a@*.docs.example.com", "left of the first dot"),
        ("https://*@docs.example.com", "left of the first dot"),
        ("https://*:8443", "left of the first dot"),
        ("https://*.docs.example.com:*", "left of the first dot"),
        ("https://*.docs.example.com.", "malformed"),
        ("https://*.docs..example.com", "malformed"),
        ("https://*.0.0.1", "malformed"),
        ("https://*.example.0x7f", "malformed"),
        ("https://[*::1]", "malformed"),
        ("https://*.dócs.example.com", "malformed"),
        ("https://*.docs.example.com:443", "leave the port out"),
        ("https://*.docs.example.com:99999", "leave the port out"),
        ("https://xn--*.docs.example.com", "international names"),
        ("https://xn--a*.docs.example.com", "international names"),
        ("https://-*.docs.example.com", "no hyphen at its beginning or end"),
        ("https://*-.docs.example.com", "no hyphen at its beginning or end"),
        (f"https://{'a' * 63}*.docs.example.com", "at most 63 characters"),
        ("https://*.com", "below a public suffix"),
        ("https://*.co.uk", "below a public suffix"),
        ("https://pr-*.co.uk", "below a public suffix"),
        ("https://*.internal", "below a public suffix"),
        ("https://*.localhost", "below a public suffix"),
        ("https://*.github.io", "below a public suffix"),
        ("https://docs-*.gitlab.io", "below a public suffix"),
        ("https://docs-git-*-team.vercel.app", "below a public suffix"),
        ("https://*-team.vercel.app", "below a public suffix"),
        ("https://*.pages.dev", "below a public suffix"),
        ("https://*.workers.dev", "below a public suffix"),
        ("https://*.readthedocs.io", "below a public suffix"),
        ("https://*.kawasaki.jp", "below a public suffix"),
        ("https://*.xn--55qx5d.cn", "below a public suffix"),
        ("https://*.netlify.app", "write it as https://*--SITE.netlify.app"),
        ("https://docs-*.netlify.app", "write it as https://*--SITE.netlify.app"),
        ("https://docs--*.netlify.app", "write it as https://*--SITE.netlify.app"),
        ("https://a--*--docs.netlify.app", "write it as https://*--SITE.netlify.app"),
        ("https://*-docs.netlify.app", "write it as https://*--SITE.netlify.app"),
        ("https://*--a--docs.netlify.app", "write it as https://*--SITE.netlify.app"),
        ("https://*.org.readthedocs.build", "write it as https://PROJECT--*.org"),
        ("https://docs*--1.org.readthedocs.build", "write it as https://PROJECT--*.org"),
        ("https://docs-*.org.readthedocs.build", "write it as https://PROJECT--*.org"),
        ("https://*--1.com.readthedocs.build", "write it as https://PROJECT--*.org"),
    ],
)
def test_pattern_that_is_wrong_or_too_wide_is_refused(wrong: str, fix: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fix)) as caught:
        OriginPattern.parse(wrong)
    assert wrong == "https://*" or wrong not in str(caught.value)


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
ENDS = st.sampled_from(
    [
        *("com", "co.uk", "github.io", "pages.dev", "netlify.app", "vercel.app", "internal"),
        *("kawasaki.jp", "city.kawasaki.jp", "ck", "www.ck", "amazonaws.com", "s3.amazonaws.com"),
        *("xn--p1ai", "org.readthedocs.build", "compute.amazonaws.com", "workers.dev"),
    ]
)
HOSTS = st.builds(lambda labels, end: ".".join([*labels, end]), st.lists(LABEL, max_size=3), ENDS)
PIECE = st.from_regex(r"[a-z0-9-]{0,6}", fullmatch=True)
BEFORE = PIECE | st.sampled_from(["docs--", "deploy-preview-"])
AFTER = PIECE | st.sampled_from(["--docs"])
ANYTHING = st.text(st.sampled_from("ab-.:/@*xn09[]%_\\é\n "), max_size=12)
NUMBER = st.from_regex(r"[0-9]{1,5}", fullmatch=True)


@settings(max_examples=300, deadline=None)
@given(
    before=BEFORE,
    star=LABEL | NUMBER | ANYTHING,
    after=AFTER,
    parent=HOSTS,
    rest=st.just("") | ANYTHING,
)
@example(before="", star="3", after="", parent="s3.amazonaws.com", rest="")
@example(before="", star="s3", after="", parent="amazonaws.com", rest="")
@example(before="", star="a--b", after="--docs", parent="netlify.app", rest="")
@example(before="docs--", star="a--1", after="", parent="org.readthedocs.build", rest="")
def test_no_host_of_another_owner_ever_matches(
    before: str, star: str, after: str, parent: str, rest: str
) -> None:
    try:
        pattern = OriginPattern.parse(f"https://{before}*{after}.{parent}")
    except ValueError:
        return
    host = f"{before}{star}{after}.{parent}{rest}"
    if not pattern.matches(f"https://{host}".encode()):
        return
    assert re.fullmatch(r"[a-z0-9_.-]+", host)
    label, _, below = host.partition(".")
    assert below == parent
    assert len(label) <= 63
    assert not label.startswith(("xn--", "-"))
    if parent == "netlify.app":
        assert label.count("--") == 1
        assert after.endswith("--" + label.partition("--")[2])
    elif parent == "org.readthedocs.build":
        assert (label.count("--"), before, star.isdigit()) == (1, label.rstrip(star), True)
    else:
        owner = SUFFIXES.privatesuffix(parent)
        assert owner is not None
        assert SUFFIXES.privatesuffix(host) == owner


@settings(max_examples=300, deadline=None)
@given(origin=ANYTHING | HOSTS.map("https://{}".format))
def test_arbitrary_origins_match_no_pattern_but_their_own(origin: str) -> None:
    for pattern, end in ((OWN, ".docs.example.co.uk"), (NETLIFY, "--docs.netlify.app")):
        if OriginPattern.parse(pattern).matches(origin.encode()):
            assert origin.endswith(end)


def test_list_of_public_suffixes_is_loaded_only_for_a_pattern() -> None:
    code = """
import sys
from edge_service.app import create_app
from edge_service.settings import Settings
for origins in ("https://docs.example.com", "https://*.docs.example.com"):
    create_app(Settings.from_env({"AVATAR_API_KEY": "canary-key", "ALLOWED_ORIGINS": origins}))
    print("publicsuffixlist" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_missing_package_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_service.settings import origin_patterns

    origin_patterns._registrable_domain.cache_clear()
    monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    with pytest.raises(ValueError, match=r"^ALLOWED_ORIGINS .*'mkdocs-sentifyd\[service\]'$"):
        Settings.from_env({"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": "https://*.docs.example.com"})
