"""Test the messages for mistakes in mkdocs.yml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mkdocs_sentifyd.cli import main
from mkdocs_sentifyd.plugin import SentifydPlugin
from tests.support.sites import OPTIONS, BuildSite

PAGES = {"index.md": "# Home\n"}
LONG_NAME = "reference/api-key-rotation-and-other-long-names-2.md"
HASH = "sha256-" + "A" * 43 + "="


def errors(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("ERROR")]


def validated(options: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Errors and warnings as MkDocs gets them from the plugin: each is an option and a text."""
    written = yaml.safe_load(yaml.safe_dump({**OPTIONS, **options}))
    errors, warnings = SentifydPlugin().load_config(written)
    return [(name, str(error)) for name, error in errors], list(warnings)


@pytest.mark.parametrize(
    ("options", "option", "fix"),
    [
        ({"avatar_id": None}, "avatar_id", "copy the avatar's ID from the Sentifyd dashboard"),
        ({"avatar_id": ""}, "avatar_id", "copy the avatar's ID"),
        ({"avatar_id": "YOUR-AVATAR-ID"}, "avatar_id", "placeholder"),
        ({"avatar_id": True}, "avatar_id", "must be in quotes"),
        ({"avatar_id": ["a"]}, "avatar_id", "avtr_1234abcd"),
        ({"avatar_id": "two words"}, "avatar_id", "without spaces"),
        ({"token_endpoint": None}, "token_endpoint", "https://tokens.example.com/request_tokens"),
        ({"token_endpoint": "/\\tokens.example.com/r"}, "token_endpoint", "or a path such as"),
        ({"token_endpoint": "/request\ttokens"}, "token_endpoint", "or a path such as"),
        ({"token_endpoint": "/request_tokens#x"}, "token_endpoint", "or a path such as"),
        ({"token_endpoint": "request_tokens"}, "token_endpoint", "or a path such as"),
        ({"token_endpoint": "tokens.example.com/r"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "//tokens.example.com/r"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "/\t/tokens.example.com/r"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "/request\x01tokens"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "javascript:alert(1)"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "https://a.example/ b"}, "token_endpoint", "absolute URL"),
        ({"token_endpoint": "https://a.example:x/"}, "token_endpoint", "host and port"),
        ({"token_endpoint": "http://tokens.example.com/r"}, "token_endpoint", "must be https"),
        ({"token_endpoint": "http://localhost.example/r"}, "token_endpoint", "must be https"),
        ({"token_endpoint": "https://u:p@t.example/r"}, "token_endpoint", "credentials"),
        ({"token_endpoint": "https://t.example/r#x"}, "token_endpoint", "fragment"),
        ({"token_endpoint": 7}, "token_endpoint", "absolute URL"),
        ({"loader": {"url": "main.js"}}, "loader.url", "must be an absolute URL"),
        ({"loader": {"type": "defer"}}, "loader.type", "must be one of"),
        ({"loader": {"integrity": "md5-x"}}, "loader.integrity", "sha384-"),
        ({"include": 3}, "include", "list of patterns"),
        ({"exclude": [1]}, "exclude", "list of patterns"),
        ({"exclude": ["!"]}, "exclude", "Invalid git pattern"),
        ({"loader": "https://l.example/main.js"}, "loader", "on its own line below it"),
        ({"not_found_page": "yes"}, "not_found_page", "must be true or false"),
        ({"token_endpoint": "https://t.example/r#"}, "token_endpoint", "fragment"),
        ({"token_endpoint": ""}, "token_endpoint", "absolute URL"),
        ({"component": "chat"}, "component", "must be one of bot, realtime"),
        ({"component": ["bot"]}, "component", "must be one of bot, realtime"),
        ({"attribute_names": "camel"}, "attribute_names", "must be one of documented, kebab"),
        ({"display": "floating"}, "display", "toggler, embedded, compact, overlay"),
        ({"display": "overlay"}, "display", "overlay is for component: realtime only"),
        ({"display": "overlay-toggler"}, "display", "for component: realtime only"),
        ({"captions": "on please"}, "captions", "must be true or false"),
        ({"barge_in": 1}, "barge_in", "must be true or false"),
        ({"ui_language": "nl"}, "ui_language", "must be auto or one of en, fr, de, es, ar, zh"),
        ({"ui_language": 7}, "ui_language", "must be auto or one of"),
        ({"ui_language": False}, "ui_language", "quote it"),
        ({"brand": "Acme"}, "brand", "on its own line below it"),
        ({"brand": {"name": ""}}, "brand.name", "must be one line of text"),
        ({"brand": {"name": "a\nb"}}, "brand.name", "must be one line of text"),
        ({"brand": {"logo": "http://a.example/l.svg"}}, "brand.logo", "must be https"),
        ({"brand": {"logo": "javascript:alert(1)"}}, "brand.logo", "must be an absolute URL"),
        ({"brand": {"logo": "//a.example/l.svg"}}, "brand.logo", "must be an absolute URL"),
        ({"brand": {"terms_url": "legal/terms.md"}}, "brand.terms_url", "not its source file"),
        ({"brand": {"privacy_url": "../privacy/"}}, "brand.privacy_url", "from the site's root"),
        ({"brand": {"privacy_url": "two words"}}, "brand.privacy_url", "must be an address"),
        ({"appearance": {"primary_color": "bleu"}},
         "appearance.primary_color", "must be a CSS colour"),
        ({"appearance": {"primary_color": None}}, "appearance.primary_color", "needs quotes"),
        ({"appearance": {"primary_color": "red; --x: url(/)"}},
         "appearance.primary_color", "CSS colour"),
        ({"appearance": {"text_on_primary": "var(--x"}},
         "appearance.text_on_primary", "CSS colour"),
        ({"appearance": {"secondary_color": "linear-gradient(red, blue)"}},
         "appearance.secondary_color", "CSS"),
        ({"appearance": {"background": "linear-gradient(red)"}},
         "appearance.background", "or gradient"),
        ({"appearance": {"background": "url(https://a.example)"}},
         "appearance.background", "or gradient"),
        ({"appearance": {"corner_radius": "1em"}},
         "appearance.corner_radius", "whole pixels from 0 to 10000"),
        ({"appearance": {"canvas_width": -1}}, "appearance.canvas_width", "whole pixels"),
        ({"appearance": {"canvas_height": 10_001}}, "appearance.canvas_height", "whole pixels"),
        ({"appearance": {"widget_height": True}}, "appearance.widget_height", "whole pixels"),
        ({"attributes": ["a"]}, "attributes", "mapping of names to values"),
        ({"attributes": {"avatar-id": "x"}}, "attributes", "use the option avatar_id"),
        ({"attributes": {"Token_Endpoint": "x"}}, "attributes", "use the option token_endpoint"),
        ({"attributes": {"brand_name": "x"}}, "attributes", "use the option brand.name"),
        ({"attributes": {"style": "x"}}, "attributes", "style sheet of the site"),
        ({"attributes": {"onclick": "x()"}}, "attributes", "inline script"),
        ({"attributes": {"data-a": 1, "DATA-A": 2}}, "attributes", "is given twice"),
        ({"attributes": {"a b": 1}}, "attributes", "Latin letters"),
        ({"attributes": {"data-a": [1]}}, "attributes", "one line of text, a number"),
        ({"public_api_key": "anything"}, "token_endpoint", "cannot be combined with"),
        ({"public_api_key": ["k"]}, "public_api_key", "visible ASCII"),
        ({"overrides": {"match": "a"}}, "overrides", "must be a list"),
        ({"overrides": ["a/"]}, "overrides", "entry 1 must be a mapping with 'match'"),
        ({"overrides": [{"captions": True}]}, "overrides", "entry 1 needs 'match'"),
        ({"overrides": [{"match": []}]}, "overrides", "entry 1 needs 'match'"),
        ({"overrides": [{"match": 3}]}, "overrides", "entry 1: 'match' must be a list"),
        ({"overrides": [{"match": "*"}, {"match": "*", "captoins": True}]}, "overrides",
         "entry 2: option 'captoins': no such option: did you mean captions?"),
        ({"overrides": [{"match": "*", "exclude": "a"}]}, "overrides", "not an option of a page"),
        ({"overrides": [{"match": "*", "display": "overlay"}]}, "overrides",
         "entry 1: option 'display': overlay is for component: realtime only"),
        ({"overrides": [{"match": "*", "token_endpoint": None}]}, "overrides",
         "entry 1: option 'token_endpoint': missing"),
        ({"include": ["[z-a]"]}, "include", "pattern that cannot be used"),
        ({"include": ["# all but", "!b.md"]}, "include", "only exceptions (!)"),
        ({"brand": {"name": "a\x00b"}}, "brand.name", "control characters"),
        ({"attributes": {"data-a": "a\nb"}}, "attributes", "one line of text"),
        ({"attributes": {"data-a": "a\ud800b"}}, "attributes", "one line of text"),
        ({"token_endpoint": "https://t.example/\x01"}, "token_endpoint", "absolute URL"),
        ({"appearance": {"primary_color": "rgb(" * 3000 + ")" * 3000}},
         "appearance.primary_color", "CSS"),
        ({"appearance": {"follow_palette": "yes"}},
         "appearance.follow_palette", "must be true or false"),
        ({"overrides": [{"match": "*", "consent": "x"}]}, "overrides", "for the whole site"),
        ({"consent": "my cookie"}, "consent", "must be a name"),
        ({"consent": True}, "consent", "must be a name"),
        ({"consent_texts": {"allow": "a\nb"}}, "consent_texts.allow", "must be one line of text"),
        ({"consent_texts": "Allow?"}, "consent_texts", "must be a mapping"),
        ({"overrides": [{"match": "*", "consent_texts": {"allow": "Yes"}}]}, "overrides",
         "for the whole site"),
        ({"load": "lazy"}, "load", "must be one of eager, idle, interaction"),
        ({"actions": "all"}, "actions", "must be true or false"),
        ({"preview": True}, "preview", "must be one of live, sandbox, off"),
        ({"shortcut": "a"}, "shortcut", "needs ctrl, alt or meta"),
        ({"shortcut": "shift+a"}, "shortcut", "needs ctrl, alt or meta"),
        ({"shortcut": "ctrl+enter"}, "shortcut", "must be a letter or digit"),
        ({"shortcut": "strg+a"}, "shortcut", "after ctrl, alt, shift, meta"),
        ({"shortcut": ["ctrl", "a"]}, "shortcut", "must be a letter or digit"),
    ],
)  # fmt: skip
def test_mistake_is_reported_in_one_line_with_option_and_fix(
    options: dict[str, Any], option: str, fix: str
) -> None:
    [(name, line)], _ = validated(options)

    assert name == option
    assert fix in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"avatar_id": None}, "option 'avatar_id': missing: copy the avatar's ID"),
        ({"api_key": "anything"}, "option 'api_key': this looks like the API key"),
    ],
)
def test_error_stops_the_build(build: BuildSite, options: dict[str, Any], line: str) -> None:
    built = build(PAGES, options, strict=False)

    assert built.status == 1
    (error,) = errors(built.output)
    assert f"Plugin 'sentifyd' {line}" in error
    assert "anything" not in built.output
    assert "Traceback" not in built.output
    assert not built.site.exists()


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"api_key": "anything"}, "api_key"),
        ({"avatar_api_key": "anything"}, "avatar_api_key"),
        ({"AVATAR_API_KEY": "anything"}, "AVATAR_API_KEY"),
        ({"secret": "anything"}, "secret"),
        ({"avatar_id": "sk_live_1234567890"}, "avatar_id"),
        ({"avatar_id": "key-1234567890"}, "avatar_id"),
        ({"avatar_id": "aB3" * 14}, "avatar_id"),
        ({"avatar_id": "0f" * 20}, "avatar_id"),
        ({"avatar_id": "kD3-vR_8" * 4}, "avatar_id"),
        ({"avatarApiKey": "anything"}, "avatarApiKey"),
        ({"avatar_key": "anything"}, "avatar_key"),
        ({"sk_live_1234567890": True}, "(a name that looks like a key)"),
        ({"avatar_id": "eyJhbGciOiJI.eyJzdWIiOiIx.sig"}, "avatar_id"),
        ({"token_endpoint": "https://t.example/r?key=sk-1234567890"}, "token_endpoint"),
        ({"loader": {"url": "https://l.example/main.js?k=" + "aB3" * 14}}, "loader.url"),
        ({"extra": [{"deep": "sk_live_1234567890"}]}, "extra.deep"),
        ({"attributes": {"api-key": "anything"}}, "attributes.api-key"),
        ({"overrides": [{"match": "*", "api_key": "anything"}]}, "overrides.api_key"),
    ],
)
def test_key_in_the_options_is_rejected(options: dict[str, Any], option: str) -> None:
    [(name, line)], warnings = validated(options)

    assert name == option
    assert line.startswith("this looks like the API key")
    assert "AVATAR_API_KEY" in line
    for value in ("anything", "1234567890", "aB3aB3", "0f0f"):
        assert value not in f"{name} {line} {warnings}"


def test_key_of_the_environment_is_found_in_any_option(
    build: BuildSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_API_KEY", "canary-77aa")
    for options in ({"avatar_id": "canary-77aa"}, {"include": ["docs/canary-77aa.md"]}):
        built = build(PAGES, options, strict=False)
        assert built.status == 1
        assert "this looks like the API key" in built.output
        assert "canary" not in built.output


@pytest.mark.parametrize(
    "options",
    [
        {"avatar_id": "4f0c2a9e-6f0b-4b0e-9a55-0d6c1f6a7b21"},
        {"avatar_id": "507f1f77bcf86cd799439011"},
        {"avatar_id": 123456},
        {"token_endpoint": "http://localhost:8080/request_tokens"},
        {"token_endpoint": "http://127.0.0.2:8080/request_tokens"},
        {"token_endpoint": "http://[::1]:8080/request_tokens"},
        {"token_endpoint": "https://tokens.example.com/avatars/request_tokens?site=docs"},
        {"token_endpoint": "https://tokens.example.com/avatar-tokens/"},
        {"token_endpoint": "https://tokens.example.com/request_tokens?next=/request_tokens/"},
        {"loader": {"integrity": HASH}},
        {"loader": None},
        {"loader": {"url": f"https://cdn.example/gh/org/repo@{'0f' * 20}/main.js"}},
        {"token_endpoint": "https://key-management.example.com/api-key-exchange-1/request_tokens"},
        {"avatar_id": "key-account-manager"},
        {"avatar_id": "secret-santa-bot"},
        {"brand": {"logo": "assets/key-visual-2024.svg"}},
        {"brand": {"terms_url": "legal/Terms-And-Conditions-Of-Use-2024/"}},
        {"brand": {"name": "Aide\u00a0: \u0646\u200c\u0645 \U0001f468\u200d\U0001f4bb"}},
        {"attributes": {"accesskey": "h"}},
        {"appearance": {"canvas_width": None}},
        {"exclude": ["key-concepts/", LONG_NAME]},
    ],
)
def test_options_that_only_resemble_keys_are_accepted(options: dict[str, Any]) -> None:
    assert validated(options) == ([], [])


@pytest.mark.parametrize("theme", ["mkdocs", "readthedocs", "material"])
def test_strict_build_accepts_options_that_only_resemble_keys(build: BuildSite, theme: str) -> None:
    pages = dict.fromkeys(("index.md", "key-concepts/a.md", LONG_NAME), "# Page\n")
    options = {
        "avatar_id": 123456,
        "token_endpoint": "https://tokens.example.com/avatars/request_tokens?site=docs",
        "loader": {"url": f"https://cdn.example/gh/org/repo@{'0f' * 20}/main.js"},
        "brand": {"name": "Aide", "terms_url": "legal/Terms-And-Conditions-Of-Use-2024/"},
        "attributes": {"accesskey": "h"},
        "exclude": ["key-concepts/", LONG_NAME],
    }
    built = build(pages, options, theme={"name": theme})

    assert built.status == 0, built.output
    assert built.page("index.html").element()["avatar_id"] == "123456"
    built.page("key-concepts/a/index.html").assert_no_avatar()


def test_unknown_option_fails_a_strict_build(build: BuildSite) -> None:
    built = build(PAGES, {"colour": "blue"})

    assert built.status == 1
    assert "'colour': no such option: use one of avatar_id, token_endpoint" in built.output


def test_misspelt_option_is_reported_with_a_suggestion(build: BuildSite) -> None:
    for options, fix in (
        ({"exlude": ["a.md"]}, "'exlude': no such option: did you mean exclude?"),
        ({"brand": {"nmae": "A"}}, "did you mean name?"),
        ({"consent_texts": {"alow": "A"}}, "did you mean allow?"),
    ):
        built = build(PAGES, options)
        assert built.status == 1
        assert fix in built.output


def test_every_mistake_is_reported_at_once_with_the_path_of_its_option() -> None:
    options = {
        "avatar_id": None,
        "token_endpoint": "tokens.example.com",
        "brand": {"name": "", "logo": "//"},
        "attributes": {"a b": 1, "onclick": "x()"},
        "appearance": {"primary_color": None, "widget_height": "tall"},
        "overrides": [
            {"match": "a.md", "captions": "on", "brand": {"logo": ""}, "captoins": True},
            {"match": "b.md", "display": "overlay"},
        ],
        "load": "later",
    }

    errors, _ = validated(options)

    assert [(name, text.partition(", such as")[0]) for name, text in errors] == [
        ("avatar_id", "missing: copy the avatar's ID from the Sentifyd dashboard"),
        ("token_endpoint", "must be an absolute URL"),
        ("brand.name", "must be one line of text, without control characters"),
        ("brand.logo", "must be an absolute URL"),
        ("appearance.primary_color", "empty: in YAML a colour that begins with # needs quotes"),
        ("appearance.widget_height", "must be whole pixels from 0 to 10000"),
        ("attributes", "names must consist of Latin letters, digits, - and _"),
        ("attributes", "'onclick' is an inline script: add the listener in your own script"),
        ("load", "must be one of eager, idle, interaction"),
        ("overrides", "entry 1: option 'captions': must be true or false, without quotes"),
        ("overrides", "entry 1: option 'brand.logo': must be an address"),
        ("overrides", "entry 1: option 'captoins': no such option: did you mean captions?"),
        ("overrides", "entry 2: option 'display': overlay is for component: realtime only"),
    ]


def test_every_mistake_of_overrides_without_patterns_is_reported() -> None:
    errors, _ = validated({"overrides": [{"match": 3}, {"captions": True}, 7]})

    assert [text.partition(":")[0] for _, text in errors] == [
        "entry 1",
        "entry 2 needs 'match'",
        "entry 3 must be a mapping with 'match' and other options",
    ]


def test_build_and_commands_print_every_mistake(
    build: BuildSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = build(PAGES, {"captions": 3, "load": "later", "colour": 1}, strict=False)
    for option in ("captions", "load", "colour"):
        assert f"'sentifyd' option '{option}': " in built.output

    assert main(["csp", "--config-file", str(tmp_path / "mkdocs.yml")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("option ")[1].partition(":")[0] for line in lines] == [
        "'captions'",
        "'load'",
        "'colour'",
    ]


@pytest.mark.parametrize(
    ("options", "name", "place"),
    [
        ({"primary_color": "red"}, "primary_color", "below appearance: appearance.primary_color"),
        ({"logo": "a.svg"}, "logo", "below brand: brand.logo"),
        ({"url": "https://a.example/l.js"}, "url", "below loader: loader.url"),
        ({"question": "?"}, "question", "below consent_texts: consent_texts.question"),
        ({"brand": {"canvas_width": 1}}, "brand.canvas_width",
         "below appearance: appearance.canvas_width"),
        ({"brand": {"captions": True}}, "brand.captions", "outside of any group: captions"),
        ({"appearance": {"load": "idle"}}, "appearance.load", "outside of any group: load"),
    ],
)  # fmt: skip
def test_option_at_the_wrong_level_names_its_group(
    options: dict[str, Any], name: str, place: str
) -> None:
    expected = f"not an option at this level: write it {place}"

    assert validated(options) == ([], [(name, expected)])
    _, site = validated({"overrides": [{"match": "*", **options}]})
    [(_, line)], _ = validated({"overrides": [{"match": "*", **options}]})
    assert site == []
    assert line == f"entry 1: option '{name}': {expected}" or "for the whole site" in line


@pytest.mark.parametrize("options", [{}, {"consent": "sentifyd"}, {"load": "interaction"}])
def test_texts_of_a_question_that_is_not_asked_are_reported(options: dict[str, str]) -> None:
    texts = {"consent_texts": {"allow": "Yes"}}

    _, [(name, line)] = validated({**options, **texts})

    assert (name, line) == (
        "consent_texts",
        "is only for consent with load: interaction: set both",
    )
    asking = {"consent": "sentifyd", "load": "interaction", **texts}
    assert validated(asking) == ([], [])


@pytest.mark.parametrize("path", ["request_tokens/", "docs/request_tokens/avtr_1/?site=docs"])
def test_endpoint_with_a_final_slash_fails_only_a_strict_build(build: BuildSite, path: str) -> None:
    endpoint = f"https://tokens.example.com/{path}"
    for options in (
        {"token_endpoint": endpoint},
        {"overrides": [{"match": "*", "token_endpoint": endpoint}]},
    ):
        built = build(PAGES, options)
        assert built.status == 1
        (line,) = [line for line in built.output.splitlines() if line.startswith("WARNING")]
        assert "option 'token_endpoint': ends with a slash" in line
        assert "remove the slash" in line

    # Another service may have such a path.
    built = build(PAGES, {"token_endpoint": endpoint}, strict=False)
    assert built.status == 0
    assert built.page("index.html").element()["token_endpoint"] == endpoint


def test_plugin_without_options_reports_the_missing_avatar_id(build: BuildSite) -> None:
    built = build(PAGES, raw_config="site_name: Test\nplugins: [sentifyd]\n")

    (line,) = errors(built.output)
    assert "option 'avatar_id': missing" in line


def test_plugin_disabled_by_mkdocs_adds_nothing(build: BuildSite) -> None:
    built = build(PAGES, raw_config="site_name: T\nplugins: [{sentifyd: {enabled: false}}]\n")

    assert built.status == 0
    built.page("index.html").assert_no_avatar()
