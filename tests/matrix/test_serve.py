"""Test live servers, which add their own script to every page."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests.matrix.sites import OFF, Site
from tests.support.browsing import Visit
from tests.support.load import is_refused
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.sites import OPTIONS, Page

RELOAD = re.compile(r"\blivereload\((\d+), (\d+)\);")


def _get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_live_reload_adds_no_second_avatar(site: Site) -> None:
    site.write({"docs/index.md": "# Home\n", "docs/off.md": f"{OFF}# Off\n"})
    site.configure()
    port = free_port()
    name = site.environment.name
    with Command(
        str(site.environment.scripts / name),
        "serve",
        "--livereload",
        f"--dev-addr=127.0.0.1:{port}",
        f"--config-file={site.folder / 'mkdocs.yml'}",
        **site.environment.variables(),
    ) as server:
        server.wait_for("Serving on")
        before = _get(port, "/")
        reload = RELOAD.search(before)
        assert reload

        site.write({"docs/index.md": "# Home\n\nChanged.\n"})
        # Answers as soon as the new pages are built.
        _get(port, f"/livereload/{reload[1]}/{reload[2]}")
        after = _get(port, "/")
        off = _get(port, "/off/")

        assert server.stop() == 0
    assert "Changed." not in before
    assert "Changed." in after
    for html in (before, after):
        assert len(RELOAD.findall(html)) == 1
        Page(html).assert_avatar()
    Page(off).assert_no_avatar()


@contextmanager
def _served(folder: Path, preview: str) -> Iterator[tuple[Command, str]]:
    """A live server in the environment of the tests, which includes the token service."""
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text("# Home\n", encoding="utf-8")
    config = {
        "site_name": "Test",
        "theme": {"name": "mkdocs", "highlightjs": False},
        "plugins": ["search", {"sentifyd": {**OPTIONS, "preview": preview}}],
    }
    config_file = folder / "mkdocs.yml"
    config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    arguments = [f"--dev-addr=127.0.0.1:{port}", f"--config-file={config_file}"]
    with Command("mkdocs", "serve", *arguments, NO_MKDOCS_2_WARNING="1") as server:
        server.wait_for("Serving on")
        yield server, f"http://127.0.0.1:{port}/"


def test_sandbox_preview_connects(tmp_path: Path, visit: Visit) -> None:
    with _served(tmp_path, "sandbox") as (server, url):
        (line,) = [line for line in server.output.splitlines() if "preview:" in line]
        endpoint = line.rpartition(" ")[2]
        for address in (url, url.replace("127.0.0.1", "localhost")):
            visit.page.goto(address)
            visit.wait_until_connected()

        assert visit.page.locator("sentifyd-bot").get_attribute("token_endpoint") == endpoint
        assert "the avatar is a sandbox, not Sentifyd" in line
        # Only the names of this machine.
        hosts = {urlsplit(origin).hostname for origin in visit.origins()}
        assert hosts == {"127.0.0.1", "localhost"}
        assert visit.errors() == []
        assert server.stop() == 0
    for origin in visit.origins():
        assert is_refused(urlsplit(origin).port or 80)


def test_preview_off_adds_no_avatar(tmp_path: Path, visit: Visit) -> None:
    with _served(tmp_path, "off") as (server, url):
        visit.page.goto(url)

        Page(visit.page.content()).assert_no_avatar()
        assert "preview:" not in server.output


def test_live_preview_logs_once_which_origins_to_allow(tmp_path: Path) -> None:
    with _served(tmp_path, "live") as (server, url):
        port = urlsplit(url).port
        assert port
        reload = RELOAD.search(_get(port, "/"))
        assert reload
        (tmp_path / "docs" / "index.md").write_text("# Changed\n", encoding="utf-8")
        _get(port, f"/livereload/{reload[1]}/{reload[2]}")
        after = _get(port, "/")

    assert "Changed" in after
    lines = [line for line in server.output.splitlines() if "preview:" in line]
    assert len(lines) == 1
    assert f"must allow http://127.0.0.1:{port} and http://localhost:{port}" in lines[0]


def test_sandbox_preview_without_the_service_is_reported(site: Site) -> None:
    """The generators' environments have the plugin without the extra `service`."""
    site.write({"docs/index.md": "# Home\n"})
    site.configure(options={"preview": "sandbox"})
    command = [site.environment.name, "serve", "--config-file=mkdocs.yml"]

    result = site.environment.run(*command, folder=site.folder)

    assert result.returncode == 1
    assert "run pip install 'mkdocs-sentifyd[service]', or set preview: live" in result.stdout
    assert "Traceback" not in result.stdout
