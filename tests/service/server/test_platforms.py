"""Everything else works where poll, SIGHUP and others are missing, as on Windows."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import requests

from tests.support.avatars import DOCS, avatar, write_avatars
from tests.support.processes import BARE_PLATFORM, Command
from tests.support.settings import KEY, ORIGIN

SERVE = ("sentifyd-edge", "serve", "--port", "0")
CONFIG = """
site_name: Example
plugins:
  - sentifyd:
      avatar_id: avtr_1234abcd
      token_endpoint: https://tokens.example.com/request_tokens
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_service_starts_serves_logs_and_stops(number: signal.Signals) -> None:
    variables = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": ORIGIN, **BARE_PLATFORM}
    with Command(*SERVE, **variables) as command:
        port = command.port()
        paths = [f"/{number}" for number in range(50)]
        for path in ("/openapi.json", *paths):
            answer = requests.get(f"http://127.0.0.1:{port}{path}", timeout=20)
            assert answer.status_code == (200 if path == "/openapi.json" else 404)
        assert command.stop(number) == 0

    first, *lines = [json.loads(line) for line in command.output.splitlines()]
    assert first["event"] == "listening"
    assert [line["path"] for line in lines] == ["/openapi.json", *paths]


@pytest.mark.parametrize("keeps", ["", "SIGHUP"], ids=["no signal", "no handler in the loop"])
def test_unavailable_reload_is_reported_once(keeps: str, tmp_path: Path) -> None:
    file = write_avatars(tmp_path, avatar("docs", DOCS))
    variables = {"AVATARS_FILE": str(file), "ALLOWED_ORIGINS": ORIGIN, **BARE_PLATFORM}
    with Command(*SERVE, **variables, KEEPS=keeps) as command:
        port = command.port()
        assert requests.get(f"http://127.0.0.1:{port}/livez", timeout=20).status_code == 200
        assert command.stop() == 0

    (reported,) = [
        line
        for line in map(json.loads, command.output.splitlines())
        if line["event"] == "reload_unavailable"
    ]
    assert reported["level"] == "warning"
    assert reported["reason"] == (
        "SIGHUP is not available on this platform: restart the service after a change of "
        "its files, or start it with --watch"
    )


def test_preview_stops_with_its_parent() -> None:
    # Its standard input ends at once.
    with Command("sentifyd-edge", "preview", "--with-parent", **BARE_PLATFORM) as command:
        assert command.wait() == 0
    assert "token_endpoint" in command.output
    assert "Traceback" not in command.output


def test_inject_adds_the_avatar_to_a_site(tmp_path: Path) -> None:
    (tmp_path / "mkdocs.yml").write_text(CONFIG)
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<!doctype html><html><head></head><body>Hi</body></html>")

    arguments = ("inject", str(site), "--config-file", str(tmp_path / "mkdocs.yml"))
    with Command("mkdocs-sentifyd", *arguments, **BARE_PLATFORM) as command:
        assert command.wait() == 0, command.output

    assert "<sentifyd-bot" in (site / "index.html").read_text()
