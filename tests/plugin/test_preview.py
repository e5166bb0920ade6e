"""Test the sandbox of `mkdocs serve`: it responds, and it stops with its parent process."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from mkdocs.commands.build import build
from mkdocs.config import load_config

from mkdocs_sentifyd import preview
from mkdocs_sentifyd.plugin import SentifydPlugin
from mkdocs_sentifyd.preview import Preview, PreviewError, local_origins
from tests.support.load import is_refused
from tests.support.processes import Command, group_is_empty
from tests.support.sites import Page
from tests.support.waiting import until

ORIGINS = ["http://127.0.0.1:8000", "http://localhost:8000"]
STARTED = (
    "from mkdocs_sentifyd.preview import Preview\n"
    f"preview = Preview.start({ORIGINS})\n"
    "print(preview._process.pid, preview.token_endpoint, flush=True)\n"
)


@pytest.fixture
def running() -> Iterator[Preview]:
    started = Preview.start(ORIGINS)
    yield started
    started.stop()


def test_only_allowed_origins_get_tokens(running: Preview) -> None:
    def ask(origin: str) -> int:
        headers = {"Origin": origin}
        return requests.get(running.token_endpoint, headers=headers, timeout=5).status_code

    assert [ask(origin) for origin in ORIGINS] == [200, 200]
    assert ask("http://localhost:8001") == 403


@pytest.mark.parametrize("component", ["bot", "realtime"])
def test_loader_urls_return_the_component(running: Preview, component: str) -> None:
    source = requests.get(running.loaders[component], timeout=5).text

    assert f'const ELEMENT = "sentifyd-{component}";' in source


def test_output_never_blocks_the_preview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A substitute for Python that writes more than a pipe can buffer."""
    verbose = tmp_path / "verbose"
    addresses = json.dumps({"token_endpoint": "http://x", "loaders": {}})
    verbose.write_text(
        f"#!/bin/sh\necho '{addresses}'\nhead -c 1000000 /dev/zero | tr '\\0' '\\n'\n"
        "touch $(dirname $0)/written\nread _\n"
    )
    verbose.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(verbose))

    started = Preview.start(ORIGINS)
    until((tmp_path / "written").exists)
    started.stop()


def test_stop_leaves_no_process() -> None:
    started = Preview.start(ORIGINS)
    pid = started._process.pid
    assert not group_is_empty(pid)

    started.stop()
    started.stop()

    assert group_is_empty(pid)
    assert is_refused(int(started.token_endpoint.split(":")[2].split("/")[0]))


def test_preview_that_ignores_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "STOP_SECONDS", 0.1)
    started = Preview.start(ORIGINS)
    started._process.send_signal(signal.SIGSTOP)

    started.stop()

    assert group_is_empty(started._process.pid)


def test_preview_stops_if_its_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(f"{STARTED}import time\ntime.sleep(600)\n")
    with Command("python", str(script)) as parent:
        pid, port = parent.wait_for(r"^(\d+) http://127\.0\.0\.1:(\d+)/").groups()
        assert not group_is_empty(int(pid))
        parent.send(signal.SIGKILL)
        parent.wait()

    until(lambda: group_is_empty(int(pid)))
    assert is_refused(int(port))


def test_preview_stops_if_its_parent_exits_without_stopping_it(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(STARTED)
    with Command("python", str(script)) as parent:
        pid = int(parent.wait_for(r"^(\d+) ")[1])
        assert parent.wait() == 0

    until(lambda: group_is_empty(pid))


def test_ctrl_c_in_the_terminal_does_not_stop_the_preview(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    # The signal may arrive as soon as the line is printed.
    script.write_text(
        "import subprocess, time\ntry:\n"
        + textwrap.indent(f"{STARTED}time.sleep(600)\n", "    ")
        + textwrap.dedent("""
            except KeyboardInterrupt:
                try:
                    preview._process.wait(2)
                except subprocess.TimeoutExpired:
                    print("still there", flush=True)
                preview.stop()
        """)
    )
    with Command("python", str(script)) as parent:
        pid = int(parent.wait_for(r"^(\d+) ")[1])
        parent.send(signal.SIGINT)
        parent.wait_for("still there")
        assert parent.wait() == 0

    assert group_is_empty(pid)
    assert len(parent.output.splitlines()) == 2


def test_files_of_the_site_are_not_imported_as_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edge_service").mkdir()
    (tmp_path / "edge_service" / "__init__.py").touch()
    (tmp_path / "secrets.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(tmp_path)

    Preview.start(ORIGINS).stop()


def test_missing_extra_is_reported_and_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))

    with pytest.raises(PreviewError) as refused:
        Preview.start(ORIGINS)
    assert str(refused.value) == (
        "preview: sandbox needs the token service: "
        "run pip install 'mkdocs-sentifyd[service]', or set preview: live"
    )


def test_process_that_fails_at_start_is_reported() -> None:
    with pytest.raises(PreviewError) as refused:
        Preview.start(["http://docs.example.com/path"])

    text = str(refused.value)
    assert "did not start (sentifyd-edge: --origin contains an origin with a path" in text
    assert text.endswith("or set preview: live")
    assert "\n" not in text


def test_process_without_output_is_reported_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A substitute for Python that waits until its input is closed."""
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\necho $$ > $(dirname $0)/pid\nread _\n")
    silent.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(silent))
    monkeypatch.setattr(preview, "START_SECONDS", 0.5)

    with pytest.raises(PreviewError, match=r"did not start within 0\.5 seconds: try again, or"):
        Preview.start(ORIGINS)
    assert group_is_empty(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("address", "origins"),
    [
        (("127.0.0.1", 8000), ["http://127.0.0.1:8000", "http://localhost:8000"]),
        (("localhost", 8001), ["http://127.0.0.1:8001", "http://localhost:8001"]),
        (("0.0.0.0", 80), ["http://127.0.0.1", "http://localhost"]),
        (("::", 1), ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"]),
        (("[::1]", 2), ["http://[::1]:2", "http://127.0.0.1:2", "http://localhost:2"]),
        (("Dev.example", 3), ["http://dev.example:3"]),
        (("192.0.2.7", 4), ["http://192.0.2.7:4"]),
    ],
)
def test_local_origins_contain_every_name_of_the_address(
    address: tuple[str, int], origins: list[str]
) -> None:
    assert local_origins(address) == origins


def test_dead_preview_is_replaced_at_the_next_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Home\n")
    (tmp_path / "mkdocs.yml").write_text(
        "site_name: Test\ntheme: readthedocs\nplugins:\n"
        "  - sentifyd: {avatar_id: avtr_1, token_endpoint: https://x.example, preview: sandbox}\n"
    )
    config = load_config(str(tmp_path / "mkdocs.yml"))

    def asked() -> int:
        build(config)
        element = Page((tmp_path / "site" / "index.html").read_text()).element()
        headers = {"Origin": ORIGINS[0]}
        return requests.get(element["token_endpoint"], headers=headers, timeout=5).status_code

    plugin = config.plugins["sentifyd"]
    assert isinstance(plugin, SentifydPlugin)
    plugin.on_startup(command="serve", dirty=False)
    try:
        assert asked() == 200
        assert plugin._preview
        plugin._preview._process.kill()
        plugin._preview._process.wait()

        assert asked() == 200
    finally:
        plugin.on_shutdown()
