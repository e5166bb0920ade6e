"""Every code block of README and documentation that can be run is run, or read by what reads it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import html5lib
import pytest
import tinycss2
from mkdocs.utils.yaml import get_yaml_loader, yaml_load
from playwright.sync_api import Browser

from edge_service.settings.avatars_file import read_avatars_file
from mkdocs_sentifyd.options.schema import SentifydConfig
from tests.support.examples import ROOT, Block, blocks, command_lines
from tests.support.shell import Shell, sample_shell

# What `text` holds is output, or what cannot be run.
READ = ("yaml", "toml", "json", "html", "js", "css", "nginx")
HANDLED = (*READ, "sh", "python", "text")
REQUIRED = {"avatar_id": "avtr_1", "token_endpoint": "https://tokens.example.com/request_tokens"}


def shown(*languages: str) -> pytest.MarkDecorator:
    """Blocks as parameters; those that show a file are read where that file is tested."""
    found = [block for block in blocks(*languages) if not block.is_snippet and not block.not_run]
    return pytest.mark.parametrize("block", found, ids=str)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A reader's folder and services."""
    with sample_shell(tmp_path_factory.mktemp("shell")) as shell:
        yield shell


def test_every_block_has_a_language_that_is_run() -> None:
    found = [block for block in blocks() if block.not_run is None and not block.is_snippet]
    assert len(found) > 80
    assert [str(block) for block in found if block.language not in HANDLED] == []


def typed(block: Block, shell: Shell) -> bool:
    return block.language == "sh" and any(map(shell.knows, command_lines(block.text)))


def test_what_is_not_run_says_why(shell: Shell) -> None:
    marked = [block for block in blocks() if block.not_run is not None]
    assert [str(block) for block in marked if not re.search(r"\w+ \w+", block.not_run or "")] == []
    could = [block for block in marked if block.language in READ or typed(block, shell)]
    assert [str(block) for block in could] == [], "a test runs these: take the mark away"


def test_files_that_are_shown_are_there() -> None:
    for block in blocks():
        for name in re.findall(r'^\s*--8<-- "([^":]+)', block.text, re.MULTILINE):
            assert (ROOT / name).is_file(), (str(block), name)


@shown("sh")
def test_commands(block: Block, shell: Shell) -> None:
    parsed = subprocess.run(["sh", "-n"], input=block.text, capture_output=True, text=True)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    shell.run(command_lines(block.text))


@shown("text")
def test_output(block: Block, shell: Shell) -> None:
    """What a page says that a command prints is what it prints."""
    if block.output_of is None:
        assert not re.search(r"^(sentifyd-edge|mkdocs-sentifyd): ", block.text, re.MULTILINE)
        return
    output = shell.output(command_lines(block.output_of))
    assert [line for line in block.text.splitlines() if line not in output.splitlines()] == []


@shown("yaml")
def test_yaml(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SENTIFYD_TOKEN_ENDPOINT", "SENTIFYD_LOADER_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:8080/request_tokens")
    [*documents] = re.split(r"^---$", block.text, flags=re.MULTILINE)
    for text in documents:
        content = yaml_load(text, get_yaml_loader()) if text.strip() else {}
        for options in of_the_plugin(content):
            config = SentifydConfig()
            config.load_dict({**REQUIRED, **options})
            assert config.validate() == ([], [])


def of_the_plugin(content: object) -> list[dict[str, Any]]:
    """Options of the plugin: in mkdocs.yml, as a part of it, or in front matter."""
    if not isinstance(content, Mapping):
        return []
    plugins = content.get("plugins") or []
    found = [p["sentifyd"] for p in plugins if isinstance(p, dict) and "sentifyd" in p]
    names = dict(SentifydConfig._schema)
    if content and names.keys() >= content.keys():
        found.append(content)
    if isinstance(page := content.get("sentifyd"), dict):
        found.append({"overrides": [{"match": "*", **page}]})
    return [options or {} for options in found]


def test_options_are_among_the_examples() -> None:
    texts = [block.text for block in blocks("yaml")]
    assert sum("sentifyd:" in text for text in texts) > 15


@shown("toml")
def test_toml(block: Block, tmp_path: Path) -> None:
    if "avatars" not in tomllib.loads(block.text):
        return
    for name in re.findall(r'key_file = "([^"]+)"', block.text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("canary-key-of-an-example")
    file, problems = tmp_path / "avatars.toml", list[str]()
    file.write_text(block.text)
    read_avatars_file(file, allow_any=False, has_default=False, problems=problems)
    assert problems == []


@shown("json")
def test_json(block: Block) -> None:
    json.loads(block.text)


@shown("python")
def test_programs(block: Block, shell: Shell) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text, str(shell.site)],
        cwd=shell.folder,
        env={**os.environ, **shell.settings, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@shown("html")
def test_markup(block: Block) -> None:
    """It is HTML without a mistake; an attribute that stands twice is one."""
    parser = html5lib.HTMLParser(strict=True)
    if "<head>" in block.text:
        parser.parse(f"<!doctype html><html>{block.text}</html>")
    else:
        parser.parseFragment(block.text)


@shown("css")
def test_style_sheets(block: Block) -> None:
    rules = tinycss2.parse_stylesheet(block.text, skip_comments=True, skip_whitespace=True)
    assert rules
    for rule in rules:
        assert rule.type == "qualified-rule", block.text
        declared = tinycss2.parse_blocks_contents(rule.content, skip_whitespace=True)
        assert [part for part in declared if part.type == "error"] == []


def test_scripts(browser: Browser) -> None:
    page = browser.new_page()
    wrong = {}
    for block in blocks("js"):
        if block.is_snippet or block.not_run:
            continue
        try:
            page.evaluate("text => { new Function(`return async () => {${text}\\n}`) }", block.text)
        except Exception as error:  # noqa: BLE001 - whatever the browser finds wrong
            wrong[str(block)] = str(error).splitlines()[0]
    page.close()
    assert wrong == {}


def test_fragments_of_nginx(tmp_path: Path) -> None:
    """In a server or beside one; nginx itself reads them."""
    frames = ("http { server { listen 127.0.0.1:1; %s } }", "http { %s }")
    executable = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    file = tmp_path / "nginx.conf"
    for block in blocks("nginx"):
        answers = []
        for frame in frames if not block.is_snippet and not block.not_run else ():
            text = f"error_log stderr; pid {tmp_path}/pid; events {{ }}\n{frame % block.text}\n"
            file.write_text(text)
            command = [str(executable), "-t", "-q", "-p", str(tmp_path), "-c", str(file)]
            answers.append(subprocess.run(command, capture_output=True, text=True))
        assert 0 in [answer.returncode for answer in answers] or not answers, (str(block), answers)
