"""A new user's first minutes at a terminal: whether what `sentifyd-edge serve` prints works."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import requests
from mkdocs.utils.yaml import get_yaml_loader, yaml_load

from edge_service.sandbox.app import Sandbox, create_sandbox
from mkdocs_sentifyd.options.schema import SentifydConfig
from tests.support.processes import SCRIPTS, Command
from tests.support.servers import serving
from tests.support.settings import KEY

GOOD = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": "https://docs.example.com"}
TIMEOUT_SECONDS = 30
SERVES = "a token service for Sentifyd avatars"


class Terminal:
    """A command at a real terminal; `text` is what the terminal has shown so far.

    `log` names a file for its standard output. A terminal with 0 columns does not know its width.
    """

    def __init__(
        self,
        *arguments: str,
        program: str = "sentifyd-edge",
        log: str = "",
        columns: str = "0",
        **variables: str,
    ) -> None:
        self._screen, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, int(columns)))
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AVATAR", "SENTIFYD", "ALLOW", "LOG_", "COLUMNS", "LINES"))
        }
        output = os.open(log, os.O_WRONLY) if log else os.dup(theirs)
        self.process = subprocess.Popen(
            [str(SCRIPTS / program), *arguments],
            env={**environ, **variables},
            stdin=theirs,
            stdout=output,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(output)
        os.close(theirs)
        self.text = ""

    def read_until(self, pattern: str) -> str:
        """Wait for the pattern, and return all output so far."""
        while not re.search(pattern, self.text, re.MULTILINE):
            assert self._read(), f"{pattern} did not appear:\n{self.text}"
        return self.text

    def stop(self) -> int:
        """Send Ctrl-C, read the rest of the output, and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """Wait until it ends by itself, and return the exit status."""
        while self._read():
            pass
        os.close(self._screen)
        return self.process.wait(10)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._screen], [], [], TIMEOUT_SECONDS)
        assert ready, f"no more output:\n{self.text}"
        # On Linux, reading a terminal that no process holds open raises an error.
        with suppress(OSError):
            piece = os.read(self._screen, 65536).decode().replace("\r\n", "\n")
            self.text += piece
            return bool(piece)
        return False


@contextmanager
def terminal(
    *arguments: str,
    program: str = "sentifyd-edge",
    log: str = "",
    columns: str = "0",
    **variables: str,
) -> Iterator[Terminal]:
    shown = Terminal(*arguments, program=program, log=log, columns=columns, **variables)
    try:
        yield shown
    finally:
        if shown.process.poll() is None:
            os.killpg(shown.process.pid, signal.SIGKILL)
            shown.wait()
    assert KEY not in shown.text
    if program == "sentifyd-edge":
        assert "\x1b" not in shown.text.partition("Add to mkdocs.yml")[0]


def pasted(text: str) -> list[dict[str, Any]]:
    """The options in the block for mkdocs.yml, after the plugin has validated them."""
    lines = text.partition("Add to mkdocs.yml, under plugins:\n")[2].partition("\n\n\n")[0]
    block = "\n".join(line for line in lines.splitlines() if not line.startswith("  ... and"))
    plugins = yaml_load(f"plugins:\n{block}\n", get_yaml_loader())["plugins"]
    for plugin in plugins:
        config = SentifydConfig()
        config.load_dict(plugin["sentifyd"])
        assert config.validate() == ([], [])
    return [plugin["sentifyd"] for plugin in plugins]


def test_first_run_says_which_settings_are_missing() -> None:
    with terminal("serve", "--port", "0") as shown:
        assert shown.wait() == 2

    key, origins, hint = shown.text.splitlines()
    assert key.startswith("sentifyd-edge: AVATAR_API_KEY is not set: set ")
    assert origins.startswith("sentifyd-edge: ALLOWED_ORIGINS is not set: list ")
    assert "without an account, run sentifyd-edge sandbox" in hint


def test_settings_printed_by_the_sandbox_give_tokens() -> None:
    with Command("sentifyd-edge", "sandbox", "--port", "0") as sandbox:
        sandbox.wait_for("loader:")
        printed = sandbox.output
        assignments = dict(re.findall(r"([A-Z_]+)=(\S+)", printed))
        with terminal("serve", "--port", "0", **assignments) as shown:
            shown.read_until("token_endpoint: .*\n(.*\n)*\n")
            [options] = pasted(shown.text)
            page = assignments["ALLOWED_ORIGINS"].split(",")[0]
            answer = requests.get(options["token_endpoint"], headers={"Origin": page}, timeout=5)
            assert answer.status_code == 200
            assert shown.stop() == 0

    assert set(assignments) == {"SENTIFYD_BACKEND", "AVATAR_API_KEY", "ALLOWED_ORIGINS"}
    loader = yaml_load(printed.splitlines()[-1], get_yaml_loader())["loader"]
    assert options["loader"] == loader
    assert "tokens work with the sandbox's component" in shown.text


def test_startup_prints_endpoint_notes_and_options() -> None:
    with terminal("serve", "--port", "0", **GOOD, TRUSTED_PROXY="canary") as shown:
        text = shown.read_until("token_endpoint: .*\n\n")
        assert SERVES in text
        [endpoint] = set(re.findall(r"http://127\.0\.0\.1:\d+/request_tokens", text))
        assert requests.get(endpoint.replace("request_tokens", "openapi.json"), timeout=5).ok
        assert shown.stop() == 0

    assert "for pages of https://docs.example.com" in text
    assert "policy direct: one Sentifyd login for each request" in text
    notes = text.partition("Notes:\n")[2].partition("\n\n")[0]
    assert "only this machine can reach it" in notes
    assert "TRUSTED_PROXIES is not set" in notes
    assert "TRUSTED_PROXY is not a variable of this service: did you mean TRUSTED_PROXIES?" in notes
    assert "ALLOW_ANY_ORIGIN" not in notes
    assert "canary" not in shown.text
    # The log continues as text, and does not repeat that the service listens.
    assert "listening" not in shown.text
    assert re.search(r"request .*path=/openapi\.json", re.sub(r"\x1b\[[0-9;]*m", "", shown.text))
    assert pasted(text) == [{"avatar_id": "avtr_...", "token_endpoint": endpoint}]
    assert "# your avatar's ID" in text


def test_startup_warns_if_any_origin_is_allowed() -> None:
    variables = {**GOOD, "ALLOWED_ORIGINS": "*", "ALLOW_ANY_ORIGIN": "true", "HOST": "0.0.0.0"}
    more = {"TRUSTED_PROXIES": "10.0.0.0/8", "AVATAR_ID": "0123", "TOKEN_POLICY": "shared"}
    with terminal("serve", "--port", "0", **variables, **more) as shown:
        text = shown.read_until("token_endpoint: .*\n\n")
        shown.stop()

    assert "for pages of any site" in text
    assert "Every site may use an avatar, because of ALLOW_ANY_ORIGIN" in text
    assert "only this machine" not in text
    assert "TRUSTED_PROXIES is not set" not in text
    # An old ID is a number, which YAML would read without its zero.
    assert pasted(text) == [
        {"avatar_id": "0123", "token_endpoint": "https://tokens.example.com/request_tokens"}
    ]


def test_startup_warns_about_previews_that_a_pattern_allows() -> None:
    variables = {**GOOD, "ALLOWED_ORIGINS": "https://*--docs.netlify.app"}
    with terminal("serve", "--port", "0", **variables) as shown:
        text = shown.read_until("token_endpoint: .*\n\n")
        shown.stop()

    assert "for pages of https://*--docs.netlify.app" in text
    assert "A pattern in ALLOWED_ORIGINS lets previews use an avatar" in text
    assert "The preview of a fork runs" in text


@pytest.mark.parametrize("count", [2, 30])
def test_startup_lists_several_avatars(tmp_path: Path, count: int) -> None:
    entries = [
        f'[[avatars]]\nid = "a{number}"\nkey = "{KEY}"\navatar_id = "avtr_{number}"\n'
        for number in range(count)
    ]
    file = tmp_path / "avatars.toml"
    file.write_text('default = "a0"\n' + "".join(entries))
    variables = {"AVATARS_FILE": str(file), "ALLOWED_ORIGINS": GOOD["ALLOWED_ORIGINS"]}
    with terminal("serve", "--port", "0", **variables) as shown:
        text = shown.read_until("token_endpoint: .*\n(  \\.\\.\\..*\n)?\n")
        shown.stop()

    listed = re.findall(r"^  http://\S+(/request_tokens\S*)$", text, re.MULTILINE)
    options = pasted(text)
    assert [one["avatar_id"] for one in options] == [f"avtr_{n}" for n in range(min(count, 5))]
    assert options[1]["token_endpoint"].endswith("/request_tokens/a1")
    assert options[0]["token_endpoint"].endswith("/request_tokens")
    if count == 2:
        assert sorted(listed) == [
            *("/request_tokens", "/request_tokens/a0", "/request_tokens/a1"),
        ]
    else:
        assert len(listed) == 5
        assert "... and 26 more" in text
        assert "... and 25 more" in text
        assert len(text.splitlines()) < 60


@pytest.mark.parametrize("word", ["json", " JSON "])
def test_json_log_at_a_terminal_has_no_other_output(word: str) -> None:
    with terminal("serve", "--port", "0", **GOOD, LOG_FORMAT=word) as shown:
        shown.read_until("listening.*\n")
        shown.stop()

    [line] = shown.text.splitlines()
    assert json.loads(line)["event"] == "listening"


def test_redirected_log_contains_every_event() -> None:
    reader, writer = os.pipe()
    more = {**GOOD, "TRUSTED_PROXY": "x"}
    log = b""
    with (
        os.fdopen(reader),
        os.fdopen(writer),
        terminal("serve", "--port", "0", log=f"/dev/fd/{writer}", **more) as shown,
    ):
        while b"listening" not in log:
            assert select.select([reader], [], [], TIMEOUT_SECONDS)[0], log
            log += os.read(reader, 65536)
        assert shown.stop() == 0

    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events == ["unknown_variable", "listening"]
    assert shown.text == ""


def test_log_without_a_terminal_is_json() -> None:
    with Command("sentifyd-edge", "serve", "--port", "0", **GOOD) as command:
        line = command.wait_for("listening").string
        command.stop()

    assert json.loads(line)["allowed_origins"] == ["https://docs.example.com"]
    assert SERVES not in command.output


def test_doctor_reports_success_at_a_terminal() -> None:
    with serving(create_sandbox(Sandbox(KEY))) as url:
        variables = {**GOOD, "SENTIFYD_BACKEND": url}
        with terminal("doctor", **variables) as shown:
            shown.read_until("no problems\n")
            assert shown.wait() == 0

    assert re.search(
        r"^ok    /request_tokens: Sentifyd sent a token that expires after", shown.text, re.M
    )


WIDTHS = pytest.mark.parametrize("columns", ["80", "60"])


def joined(text: str) -> str:
    """The text without colours, wherever its lines were broken."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


def too_long(text: str, columns: str) -> list[str]:
    """Lines that the terminal itself would break, perhaps within a word."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return [line for line in text.splitlines() if len(line) > int(columns)]


@WIDTHS
def test_startup_text_is_broken_between_words(columns: str) -> None:
    origins = ",".join(f"https://docs{number}.example.com" for number in range(4))
    variables = {**GOOD, "ALLOWED_ORIGINS": origins, "TRUSTED_PROXY": "x"}
    with terminal("serve", "--port", "0", columns=columns, **variables) as shown:
        whole = shown.read_until("token_endpoint: .*\n\n")
        shown.stop()

    text = whole.partition("Add to mkdocs.yml")[0]
    assert too_long(text, columns) == []
    assert f"for pages of {origins.replace(',', ', ')} policy direct" in joined(text)
    assert (
        "- The service speaks plain HTTP: for a public site, put a TLS proxy in front of it, and "
        "use the proxy's https URL as token_endpoint."
    ) in joined(text)
    # The text of a note has one left edge.
    notes = text.partition("Notes:\n")[2].rstrip("\n").splitlines()
    assert {re.match("  - |    (?! )", line) is not None for line in notes} == {True}
    # What a user copies is whole.
    assert pasted(whole)[0]["avatar_id"] == "avtr_..."
    assert "# your avatar's ID, from the Sentifyd dashboard\n" in whole


@WIDTHS
def test_problems_are_broken_between_words(columns: str) -> None:
    with terminal("serve", "--port", "0", columns=columns) as shown:
        assert shown.wait() == 2
    assert too_long(shown.text, columns) == []
    with Command("sentifyd-edge", "serve", "--port", "0") as elsewhere:
        elsewhere.wait()
    for line in elsewhere.output.splitlines():
        assert line in joined(shown.text)
    # The second line of a problem does not look like another problem.
    rest = [line for line in shown.text.splitlines() if not line.startswith("sentifyd-edge: ")]
    assert rest
    assert [line for line in rest if not line.startswith("  ")] == []


@WIDTHS
def test_verdicts_are_broken_between_words(columns: str) -> None:
    variables = {**GOOD, "SENTIFYD_BACKEND": "http://127.0.0.1:1"}
    with terminal("doctor", columns=columns, **variables) as shown:
        assert shown.wait() == 1
    assert too_long(shown.text, columns) == []
    assert "FAIL /request_tokens: the host in SENTIFYD_BACKEND refused" in joined(shown.text)
    failed = shown.text.partition("\nFAIL  ")[2].splitlines()
    assert failed[1].startswith(" " * 6)

    with terminal("doctor", "--json", columns=columns, **variables) as shown:
        assert shown.wait() == 1
    assert json.loads(shown.text)["ok"] is False


@WIDTHS
@pytest.mark.parametrize("command", ["serve", "doctor", "demo"])
def test_help_is_broken_between_words(command: str, columns: str) -> None:
    with terminal(command, "--help", columns=columns) as shown:
        assert shown.wait() == 0
    # Examples are whole, to be copied.
    long = too_long(shown.text, columns)
    assert [line for line in long if not line.startswith("  ") or "sentifyd-edge" not in line] == []


@WIDTHS
def test_findings_of_a_site_are_broken_between_words(columns: str) -> None:
    # A longer path would be broken anywhere.
    with TemporaryDirectory() as name:
        _check_widths(columns, Path(name))


def _check_widths(columns: str, folder: Path) -> None:
    page = folder / "site" / "index.html"
    page.parent.mkdir()
    page.write_text("<!doctype html><title>Home</title><body><p>Home</p></body>")
    config = folder / "mkdocs.yml"
    config.write_text(
        "site_name: Example\nplugins:\n  - sentifyd: {avatar_id: avtr_1, "
        "token_endpoint: 'https://tokens.example.com/request_tokens'}\n"
    )
    arguments = ("check", str(page.parent), "--config-file", str(config))
    plugin = {"program": "mkdocs-sentifyd", "columns": columns}
    with terminal(*arguments, **plugin) as shown:
        assert shown.wait() == 1
    assert too_long(shown.text, columns) == []
    with Command("mkdocs-sentifyd", *arguments) as elsewhere:
        elsewhere.wait()
    assert joined(shown.text) == joined(elsewhere.output)
    assert len(elsewhere.output.splitlines()) < len(shown.text.splitlines()) or columns == "80"

    missing = "a folder with a long name/and another folder with a long name/mkdocs.yml"
    with terminal("check", "site", "--config-file", missing, **plugin) as shown:
        assert shown.wait() == 2
    assert too_long(shown.text, columns) == []
    assert len(shown.text.splitlines()) > 1
