"""Run, or at least parse, every code block of README and documentation."""

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
from edge_service.settings.env_file import read_env_file
from edge_service.settings.variables import declared
from mkdocs_sentifyd.options.schema import SentifydConfig
from tests.support.examples import ROOT, Block, blocks, command_lines
from tests.support.shell import Shell, sample_shell

# A `text` block is output, or something that cannot be run.
PARSED = ("yaml", "toml", "ini", "json", "html", "js", "css", "nginx")
HANDLED = (*PARSED, "sh", "python", "text")
REQUIRED = {"avatar_id": "avtr_1", "token_endpoint": "https://tokens.example.com/request_tokens"}


def shown(*languages: str) -> pytest.MarkDecorator:
    """Blocks as parameters, without those that show a file, which has its own test."""
    found = [block for block in blocks(*languages) if not block.is_snippet and not block.not_run]
    return pytest.mark.parametrize("block", found, ids=str)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell with a reader's folder and services."""
    with sample_shell(tmp_path_factory.mktemp("shell")) as shell:
        yield shell


def test_every_block_has_a_tested_language() -> None:
    found = [block for block in blocks() if block.not_run is None and not block.is_snippet]
    assert len(found) > 80
    assert [str(block) for block in found if block.language not in HANDLED] == []


def typed(block: Block, shell: Shell) -> bool:
    return block.language == "sh" and any(map(shell.knows, command_lines(block.text)))


def test_blocks_that_are_not_run_state_a_reason(shell: Shell) -> None:
    marked = [block for block in blocks() if block.not_run is not None]
    assert [str(block) for block in marked if not re.search(r"\w+ \w+", block.not_run or "")] == []
    could = [block for block in marked if block.language in PARSED or typed(block, shell)]
    assert [str(block) for block in could] == [], "a test can run these: remove the mark"


def test_files_shown_in_blocks_exist() -> None:
    for block in blocks():
        for name in re.findall(r'^\s*--8<-- "([^":]+)', block.text, re.MULTILINE):
            assert (ROOT / name).is_file(), (str(block), name)


@shown("sh")
def test_shell_commands_succeed(block: Block, shell: Shell) -> None:
    parsed = subprocess.run(["sh", "-n"], input=block.text, capture_output=True, text=True)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    shell.run(command_lines(block.text))


@shown("text")
def test_commands_print_the_shown_output(block: Block, shell: Shell) -> None:
    """Every line that a page shows is in the command's output."""
    if block.output_of is None:
        assert not re.search(r"^(sentifyd-edge|mkdocs-sentifyd): ", block.text, re.MULTILINE)
        return
    output = shell.output(command_lines(block.output_of))
    assert [line for line in block.text.splitlines() if line not in output.splitlines()] == []


@shown("yaml")
def test_yaml_has_valid_options(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SENTIFYD_TOKEN_ENDPOINT", "SENTIFYD_LOADER_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:8080/request_tokens")
    [*documents] = re.split(r"^---$", block.text, flags=re.MULTILINE)
    for text in documents:
        content = yaml_load(text, get_yaml_loader()) if text.strip() else {}
        for options in plugin_options(content):
            config = SentifydConfig()
            config.load_dict({**REQUIRED, **options})
            assert config.validate() == ([], [])


def plugin_options(content: object) -> list[dict[str, Any]]:
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


def test_examples_contain_plugin_options() -> None:
    texts = [block.text for block in blocks("yaml")]
    assert sum("sentifyd:" in text for text in texts) > 15


@shown("toml")
def test_toml_is_valid(block: Block, tmp_path: Path) -> None:
    if "avatars" not in tomllib.loads(block.text):
        return
    for name in re.findall(r'key_file = "([^"]+)"', block.text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("canary-key-of-an-example")
    file, problems = tmp_path / "avatars.toml", list[str]()
    file.write_text(block.text)
    read_avatars_file(file, allow_any=False, has_default=False, problems=problems, files=[])
    assert problems == []


@shown("ini")
def test_environment_files_are_valid(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "edge.env"
    file.write_text(block.text)
    assert read_env_file(file).keys() <= {n for v in declared() for n in (v.name, v.file_name)}


@shown("json")
def test_json_is_valid(block: Block) -> None:
    json.loads(block.text)


@shown("python")
def test_python_programs_succeed(block: Block, shell: Shell) -> None:
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
def test_html_is_valid(block: Block) -> None:
    """A strict parser accepts it; it rejects repeated attributes, for example."""
    parser = html5lib.HTMLParser(strict=True)
    if "<head>" in block.text:
        parser.parse(f"<!doctype html><html>{block.text}</html>")
    else:
        parser.parseFragment(block.text)


@shown("css")
def test_css_is_valid(block: Block) -> None:
    rules = tinycss2.parse_stylesheet(block.text, skip_comments=True, skip_whitespace=True)
    assert rules
    for rule in rules:
        assert rule.type == "qualified-rule", block.text
        declared = tinycss2.parse_blocks_contents(rule.content, skip_whitespace=True)
        assert [part for part in declared if part.type == "error"] == []


def test_javascript_is_valid(browser: Browser) -> None:
    page = browser.new_page()
    wrong = {}
    for block in blocks("js"):
        if block.is_snippet or block.not_run:
            continue
        try:
            page.evaluate("text => { new Function(`return async () => {${text}\\n}`) }", block.text)
        except Exception as error:  # noqa: BLE001 - any error that the browser reports
            wrong[str(block)] = str(error).splitlines()[0]
    page.close()
    assert wrong == {}


def test_nginx_fragments_are_valid(tmp_path: Path) -> None:
    """nginx itself accepts each fragment, inside or outside a server block."""
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
